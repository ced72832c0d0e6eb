//! Macros for the codes of FLV and Enhanced RTMP. Unknown codes are kept and printed.

/// Defines a type for a code of one byte whose values have names.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$code_doc:meta])* $constant:ident = $value:literal, $text:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub u8);

        impl $name {
            $($(#[$code_doc])* pub const $constant: Self = Self($value);)*
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.0 {
                    $($value => f.write_str($text),)*
                    other => write!(f, "{other}"),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

/// Defines a type for the codecs of audio or video, which have a legacy number or a FourCC.
macro_rules! codecs {
    ($(#[$doc:meta])* $name:ident, $unknown:literal {
        $($(#[$codec_doc:meta])* $constant:ident = $kind:ident($value:expr), $text:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            /// Number in legacy FLV, 0 to 15.
            Legacy(u8),
            /// Name in Enhanced RTMP.
            FourCc(FourCc),
        }

        impl $name {
            $($(#[$codec_doc])* pub const $constant: Self = Self::$kind($value);)*

            /// Returns the number of the codec in onMetaData (FLV E.5, E-RTMP "Enhancing onMetaData").
            pub const fn id(self) -> u32 {
                match self {
                    Self::Legacy(id) => id as u32,
                    Self::FourCc(name) => name.to_u32(),
                }
            }
        }

        impl From<FourCc> for $name {
            fn from(name: FourCc) -> Self {
                Self::FourCc(name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match *self {
                    $(Self::$constant => f.write_str($text),)*
                    Self::Legacy(id) => write!(f, concat!($unknown, " {}"), id),
                    Self::FourCc(name) => write!(f, concat!($unknown, " {}"), name),
                }
            }
        }
    };
}

pub(super) use {codecs, codes};
