use std::collections::BTreeSet;

use crate::{cli::generate::MANUAL, core::analysis::Code, probe::file::FileCode};

#[test]
fn manual_lists_every_finding_with_its_severity() {
    let (_, section) = MANUAL.split_once("\n# Findings of a probe\n").unwrap();
    let section = section.split("\n# ").next().unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix("- "));
    let listed: BTreeSet<String> = items
        .map(|item| item.split_once(": ").unwrap().0.to_owned())
        .collect();
    let codes = Code::ALL.iter();
    let expected = codes.map(|code| format!("`{}` ({})", code.as_str(), code.severity()));
    let of_files = FileCode::ALL.iter();
    let of_files = of_files.map(|code| format!("`{}` ({})", code.as_str(), code.severity()));
    assert_eq!(listed, expected.chain(of_files).collect());
}
