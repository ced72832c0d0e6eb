use super::*;

/// Returns all streams, or all errors.
fn read_all(text: &str) -> Result<Vec<StreamTable>, Problems> {
    let (streams, mut problems) = parse(text);
    let mut tables = Vec::new();
    for stream in streams {
        match stream {
            Ok((table, _)) => tables.push(table),
            Err(found) => problems.extend(found),
        }
    }
    match problems.is_empty() {
        true => Ok(tables),
        false => Err(problems),
    }
}

/// Returns the name and the words of each stream.
fn words_of(text: &str) -> Vec<(String, Vec<String>)> {
    let streams = read_all(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let words = |stream: &StreamTable| {
        let words = stream.words.iter();
        words
            .map(|word| word.clone().into_string().unwrap())
            .collect()
    };
    streams
        .iter()
        .map(|stream| (stream.name.to_string(), words(stream)))
        .collect()
}

/// Returns the errors as lines.
fn errors(text: &str) -> Vec<String> {
    let problems = read_all(text).expect_err("the file has errors");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn keys_are_options_and_defaults_apply_to_all_streams() {
    let text = r#"
        [defaults]
        live = true
        output = "{name}.flv"
        retry = "forever"

        [[stream]]
        name = "lobby"
        url = "rtmp://host/live/{name}"

        [[stream]]
        name = "yard"
        url = "rtmp://host/live/other"
        flv = "yard/{name}-%d.mp4"
        live = false
        wait = true
        segment-time = 600
        conn = ["S:a", "S:b=c d"]
        until = 2026-12-24T18:00:00+01:00
    "#;
    let streams = words_of(text);
    let lobby = [
        "--live",
        "--output=lobby.flv",
        "--retry=forever",
        "--url=rtmp://host/live/lobby",
    ];
    let yard = [
        "--retry=forever",
        "--url=rtmp://host/live/other",
        "--flv=yard/yard-%d.mp4",
        "--wait",
        "--segment-time=600",
        "--conn=S:a",
        "--conn=S:b=c d",
        "--until=2026-12-24T18:00:00+01:00",
    ];
    assert_eq!(streams.len(), 2);
    assert_eq!(
        (streams[0].0.as_str(), &streams[0].1[..]),
        ("lobby", &lobby.map(str::to_owned)[..])
    );
    assert_eq!(
        (streams[1].0.as_str(), &streams[1].1[..]),
        ("yard", &yard.map(str::to_owned)[..])
    );
}

#[test]
fn streams_keep_the_order_of_the_file() {
    let text = "[[stream]]\nname='b'\nurl='x'\n[[stream]]\nname='a'\nurl='x'\n";
    let names: Vec<_> = words_of(text).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn errors_name_the_line_and_the_key() {
    let cases = [
        (
            "[[stream]]\nname = 'a'\nretri = 5",
            "3: retri is not an option; did you mean retry?",
        ),
        (
            "[[stream]]\nname = 'a'\nxyzzy = 5",
            "3: xyzzy is not an option",
        ),
        (
            "[[stream]]\nname = 'a'\nverbose = true",
            "3: verbose concerns the process: use --verbose on the command line",
        ),
        (
            "[[stream]]\nname = 'a'\nheartbeat = 'x'",
            "3: heartbeat concerns the process: use --heartbeat on the command line",
        ),
        (
            "[[stream]]\nname = 'a'\nstreams = 'x'",
            "3: streams concerns the process: use --streams on the command line",
        ),
        (
            "[[stream]]\nname = 'a'\nrepair = 'x'",
            "3: repair cannot be used for one of several streams",
        ),
        (
            "[[stream]]\nname = 'a'\nexpect = ['x=1']",
            "3: expect cannot be used for one of several streams",
        ),
        (
            "[[stream]]\nname = 'a'\nhelp = true",
            "3: help cannot be used for one of several streams",
        ),
        (
            "[[stream]]\nname = 'a'\nlive = 'yes'",
            "3: live: the value must be true or false",
        ),
        (
            "[[stream]]\nname = 'a'\nurl = true",
            "3: url: the option needs a value, not true or false",
        ),
        (
            "[[stream]]\nname = 'a'\nurl = ['x']",
            "3: url: the option takes one value, not a list",
        ),
        (
            "[[stream]]\nname = 'a'\nurl = {x = 1}",
            "3: url: the value must be a text, a number or a time",
        ),
        (
            "[[stream]]\nname = 'a'\nflv = 'x'\noutput = 'y'",
            "4: output: line 3 sets the same option",
        ),
        ("[[stream]]\nurl = 'x'", "1: the stream has no name"),
        (
            "[[stream]]\nname = '../x'",
            "2: name: a name has up to 60 letters, digits, dots, hyphens and underscores, and starts with a letter or digit",
        ),
        ("[[stream]]\nname = 5", "2: name: the value must be a text"),
        (
            "[[stream]]\nname = 'a'\n\n[[stream]]\nname = 'a'",
            "5: name: line 2 has the same name \"a\"",
        ),
        (
            "live = true",
            "1: live: options belong in [defaults] or [[stream]]",
        ),
        (
            "[stream]\nname = 'a'",
            "1: write [[stream]], with two brackets",
        ),
        ("# nothing", "1: the file has no table [[stream]]"),
        (
            "[[stream]]\nname = 'a'\nport = 70000",
            "3: port: invalid value '70000' for '--port <PORT>': not a whole number from 0 to 65535",
        ),
        (
            "[[stream]]\nname = 'a'\ncapture-size = '1M'",
            "1: stream a: add --capture <FILE>, which another option needs",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(text), [expected], "{text}");
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_their_lines() {
    let text = "[defaults]\nport = 'x'\n\
                [[stream]]\nname = 'a'\nsegment-time = 'soon'\nbuffer = -1\n\
                [[stream]]\nname = 'b'\nlive = 1\n\
                [[stream]]\nname = 'c'\nappend = true\noverwrite = true\n";
    let lines: Vec<_> = errors(text)
        .iter()
        .map(|error| error.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "2: port:",
            "5: segment-time:",
            "6: buffer:",
            "9: live:",
            "12: append:"
        ]
    );
}

#[test]
fn a_table_with_an_error_is_not_a_stream() {
    let valid = "[[stream]]\nname = 'valid'\n";
    for invalid in ["port = 'x'", "port = true", "xyzzy = 5"] {
        for text in [
            format!("{valid}[[stream]]\nname = 'invalid'\n{invalid}\n"),
            format!("[[stream]]\nname = 'invalid'\n{invalid}\n{valid}"),
        ] {
            let (streams, _) = parse(&text);
            let names: Vec<_> = streams
                .flatten()
                .map(|(table, _)| table.name.to_string())
                .collect();
            assert_eq!(names, ["valid"], "{text}");
        }
        let text = format!("[defaults]\n{invalid}\n{valid}");
        assert_eq!(parse(&text).0.flatten().count(), 0, "{text}");
    }
}

#[test]
fn syntax_errors_name_their_line() {
    let text = "[[stream]]\nname = 'a'\nurl = rtmp://host/x\nlive = true\nlive = true\n";
    let errors = errors(text);
    assert!(errors[0].starts_with("3: "), "{errors:?}");
    assert!(
        errors.iter().any(|error| error.starts_with("5: ")),
        "{errors:?}"
    );
    assert!(
        errors.iter().all(|error| !error.contains('\n')),
        "{errors:?}"
    );
}

#[test]
fn reasons_lead_to_the_line_of_their_option() {
    let text = "[[stream]]\nname = 'a'\noutput = 'x'\nsegment-time = 5\n";
    let stream = &read_all(text).unwrap()[0];
    assert_eq!(stream.line_of("--segment-time needs a file"), 4);
    assert_eq!(stream.line_of("cannot write --output: x"), 3);
    assert_eq!(stream.line_of("something else"), 1);
}

#[test]
fn names_fit_into_file_names() {
    for name in ["cam", "Cam_2.b-c", "1", "é"] {
        assert_eq!(words_of(&format!("[[stream]]\nname='{name}'"))[0].0, name);
    }
    for name in ["", ".", "-a", "a b", "a/b", "a{b", "a%d", "a.", "a:b", "_a"] {
        assert_eq!(
            errors(&format!("[[stream]]\nname='{name}'")).len(),
            1,
            "{name}"
        );
    }
    let long = "é".repeat(61);
    assert_eq!(errors(&format!("[[stream]]\nname='{long}'")).len(), 1);
}
