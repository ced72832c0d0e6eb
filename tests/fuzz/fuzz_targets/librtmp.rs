//! Notations of librtmp: streams with options, and AMF values of `conn`. Encoded options and values parse
//! to themselves.

#![no_main]

use std::{fmt::Write, sync::LazyLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rtmpull::{
    cli::{
        args::Args,
        rtmpdump::{
            conn::{self, Values},
            librtmp,
        },
    },
    core::{
        amf::{Object, Value},
        rtmp::secret::Secret,
    },
};

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Text(&'a str),
    Options(Vec<(Key, &'a str)>),
    Items(Vec<&'a str>),
    Values(Vec<Tree<'a>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Arbitrary)]
enum Key {
    App,
    Playpath,
    TcUrl,
    PageUrl,
    FlashVer,
    Conn,
}

#[derive(Debug, Arbitrary)]
enum Tree<'a> {
    Null,
    Boolean(bool),
    Number(i32),
    Text(&'a str),
    Object(Vec<(&'a str, Tree<'a>)>),
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Text(text) => {
            let Ok(args) = librtmp::apply_url_options(&args(text)) else {
                return;
            };
            // The options are applied, so the rest of the text contains none.
            let again = librtmp::apply_url_options(&args).expect("applied options");
            assert_eq!(format!("{again:?}"), format!("{args:?}"));
        }
        Input::Options(options) => check_options(&options),
        Input::Items(items) => {
            let mut values = Values::default();
            for item in &items {
                let _ = values.push(item);
                if let Some(secret) = conn::secret(item) {
                    let masked = conn::masked(item);
                    let (Secret::Text(value) | Secret::Parameter { value, .. }) = &secret;
                    let (head, _) = item.split_at(item.len() - value.len());
                    assert_eq!(masked, format!("{head}***"));
                }
            }
            assert!(values.finish().len() <= items.len());
        }
        Input::Values(trees) => check_values(&trees),
    }
});

/// Arguments with this URL. Only the first call parses a command line, which is slow.
fn args(url: &str) -> Args {
    static ARGS: LazyLock<Args> = LazyLock::new(|| {
        let arguments = ["rtmpull", "-i", "rtmp://host/app/stream"];
        Args::read(arguments.map(Into::into)).expect("valid arguments")
    });
    Args {
        url: Some(url.to_owned()),
        ..ARGS.clone()
    }
}

fn check_options(options: &[(Key, &str)]) {
    let mut text = "rtmp://host/app/stream".to_owned();
    for (key, value) in options {
        text += " ";
        text += key.name();
        text += "=";
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' => text.push(byte.into()),
                _ => write!(text, "\\{byte:02x}").expect("writing to memory succeeds"),
            }
        }
    }
    let args = librtmp::apply_url_options(&args(&text)).expect("valid options");
    let last = |key| {
        let mut values = options.iter().rev().filter(|(k, _)| *k == key);
        values.next().map(|(_, value)| (*value).to_owned())
    };
    assert_eq!(args.url.as_deref(), Some("rtmp://host/app/stream"));
    assert_eq!(args.app, last(Key::App));
    assert_eq!(args.playpath, last(Key::Playpath));
    assert_eq!(args.connect.tc_url, last(Key::TcUrl));
    assert_eq!(args.connect.page_url, last(Key::PageUrl));
    assert_eq!(args.connect.flash_ver, last(Key::FlashVer));
    let conn = options.iter().filter(|(key, _)| *key == Key::Conn);
    assert!(
        conn.map(|(_, value)| *value)
            .eq(args.connect.conn.iter().map(String::as_str))
    );
}

fn check_values(trees: &[Tree<'_>]) {
    let mut items = Vec::new();
    trees.iter().for_each(|tree| tree.items(None, &mut items));
    let mut values = Values::default();
    if items.iter().try_for_each(|item| values.push(item)).is_ok() {
        let expected: Vec<Value> = trees.iter().map(Tree::value).collect();
        assert_eq!(values.finish(), expected);
    } else {
        let is_deep = |tree: &Tree<'_>| tree.depth() > rtmpull::core::amf::MAX_DEPTH;
        assert!(trees.iter().any(is_deep), "{items:?}");
    }
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Playpath => "playpath",
            Self::TcUrl => "tcUrl",
            Self::PageUrl => "pageUrl",
            Self::FlashVer => "flashVer",
            Self::Conn => "conn",
        }
    }
}

impl Tree<'_> {
    fn items(&self, name: Option<&str>, items: &mut Vec<String>) {
        let prefix = name.map_or_else(String::new, |name| format!("{name}:"));
        let n = if name.is_some() { "N" } else { "" };
        match self {
            // A null has no notation as a member.
            Self::Null if name.is_some() => items.push(format!("NN:{prefix}0")),
            Self::Null => items.push("Z:".to_owned()),
            Self::Boolean(value) => items.push(format!("{n}B:{prefix}{}", u8::from(*value))),
            Self::Number(value) => items.push(format!("{n}N:{prefix}{value}")),
            Self::Text(value) => items.push(format!("{n}S:{prefix}{value}")),
            Self::Object(members) => {
                items.push(format!("{n}O:{prefix}1"));
                for (name, tree) in members {
                    tree.items(Some(&plain(name)), items);
                }
                items.push("O:0".to_owned());
            }
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => (*value).into(),
            Self::Number(value) => f64::from(*value).into(),
            Self::Text(value) => (*value).into(),
            Self::Object(members) => {
                let mut object = Object::new();
                for (name, tree) in members {
                    let value = match tree {
                        Self::Null => 0.0.into(),
                        tree => tree.value(),
                    };
                    object.push(plain(name), value);
                }
                object.into()
            }
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Object(members) => {
                1 + members
                    .iter()
                    .map(|(_, tree)| tree.depth())
                    .max()
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// Names cannot contain colons.
fn plain(name: &str) -> String {
    name.replace(':', "")
}
