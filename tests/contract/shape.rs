//! The shape of a contract: all that peers of different releases must agree on, as sorted lines of
//! text that a review can read. Comments, options and the division into files are no part of it.

use std::{collections::BTreeMap, fmt};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, field_descriptor_proto,
};

/// What the wire identifies; ordered as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Element {
    Enum { name: String },
    EnumValue { of: String, number: i32 },
    Field { of: String, number: i32 },
    Message { name: String },
    Method { of: String, name: String },
    Service { name: String },
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enum { name } => write!(f, "enum {name}"),
            Self::EnumValue { of, number } => write!(f, "enum value {of} {number}"),
            Self::Field { of, number } => write!(f, "field {of} {number}"),
            Self::Message { name } => write!(f, "message {name}"),
            Self::Method { of, name } => write!(f, "method {of} {name}"),
            Self::Service { name } => write!(f, "service {name}"),
        }
    }
}

impl Element {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        Some(match words[..] {
            ["enum", "value", of, number] => {
                Self::EnumValue { of: of.into(), number: number.parse().ok()? }
            }
            ["enum", name] => Self::Enum { name: name.into() },
            ["field", of, number] => Self::Field { of: of.into(), number: number.parse().ok()? },
            ["message", name] => Self::Message { name: name.into() },
            ["method", of, name] => Self::Method { of: of.into(), name: name.into() },
            ["service", name] => Self::Service { name: name.into() },
            _ => return None,
        })
    }
}

/// Each element with what is said of it: a field's label, type, name and oneof, a value's name, a
/// method's types and streaming; nothing for the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape(BTreeMap<Element, String>);

/// An element of a released contract that is no longer what it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Break {
    element: String,
    released: String,
    /// Absent where the element is gone.
    current: Option<String>,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.current {
            Some(current) => {
                write!(f, "{}: was `{}`, is `{current}`", self.element, self.released)
            }
            None if self.released.is_empty() => write!(f, "{} is gone", self.element),
            None => write!(f, "{} `{}` is gone", self.element, self.released),
        }
    }
}

impl Shape {
    /// Of every file that is not protobuf's own.
    pub(crate) fn of(descriptors: &FileDescriptorSet) -> Self {
        let mut shape = Self::default();
        for file in &descriptors.file {
            let package = file.package();
            if package.starts_with("google.") {
                continue;
            }
            for message in &file.message_type {
                shape.add_message(package, message);
            }
            for enumeration in &file.enum_type {
                shape.add_enum(package, enumeration);
            }
            for service in &file.service {
                let name = qualified(package, service.name());
                for method in &service.method {
                    shape.add_method(&name, method);
                }
                shape.add(Element::Service { name }, "");
            }
        }
        shape
    }

    fn add(&mut self, element: Element, says: impl Into<String>) {
        let replaced = self.0.insert(element, says.into());
        assert_eq!(replaced, None, "an element occurs twice");
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = qualified(scope, message.name());
        for field in &message.field {
            let element = Element::Field { of: name.clone(), number: field.number() };
            self.add(element, field_shape(message, field));
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested);
        }
        for enumeration in &message.enum_type {
            self.add_enum(&name, enumeration);
        }
        self.add(Element::Message { name }, "");
    }

    fn add_enum(&mut self, scope: &str, enumeration: &EnumDescriptorProto) {
        let name = qualified(scope, enumeration.name());
        for value in &enumeration.value {
            let element = Element::EnumValue { of: name.clone(), number: value.number() };
            self.add(element, value.name());
        }
        self.add(Element::Enum { name }, "");
    }

    fn add_method(&mut self, service: &str, method: &MethodDescriptorProto) {
        let stream = |streams| if streams { "stream " } else { "" };
        let says = format!(
            "{}{} -> {}{}",
            stream(method.client_streaming()),
            method.input_type().trim_start_matches('.'),
            stream(method.server_streaming()),
            method.output_type().trim_start_matches('.'),
        );
        self.add(Element::Method { of: service.into(), name: method.name().into() }, says);
    }

    /// The other way round of [`fmt::Display`].
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut shape = Self::default();
        for line in text.lines() {
            let (element, says) = line.split_once(" = ").unwrap_or((line, ""));
            let element = Element::parse(element).ok_or_else(|| format!("not a line: {line}"))?;
            if shape.0.insert(element, says.to_owned()).is_some() {
                return Err(format!("twice: {line}"));
            }
        }
        Ok(shape)
    }

    /// Where a peer built from `self` and one built from `current` would misunderstand each other.
    /// What is new in `current` is no break: unknown fields and values are skipped.
    pub(crate) fn breaks_in(&self, current: &Self) -> Vec<Break> {
        let changed = self.0.iter().filter(|(element, says)| current.0.get(element) != Some(says));
        changed
            .map(|(element, says)| Break {
                element: element.to_string(),
                released: says.clone(),
                current: current.0.get(element).cloned(),
            })
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (element, says) in &self.0 {
            if says.is_empty() {
                writeln!(f, "{element}")?;
            } else {
                writeln!(f, "{element} = {says}")?;
            }
        }
        Ok(())
    }
}

fn qualified(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

fn field_shape(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    use field_descriptor_proto::Label;

    let label = match field.label() {
        Label::Repeated => "repeated ",
        Label::Required => "required ",
        Label::Optional if field.proto3_optional() => "optional ",
        Label::Optional => "",
    };
    let kind = match field.type_name() {
        "" => field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        name => name.trim_start_matches('.').to_owned(),
    };
    // An optional field sits in a oneof of its own that nobody sees.
    let oneof = match field.oneof_index {
        Some(index) if !field.proto3_optional() => {
            let name = usize::try_from(index).ok().and_then(|index| message.oneof_decl.get(index));
            format!(" in oneof {}", name.expect("the oneof of a field").name())
        }
        _ => String::new(),
    };
    format!("{label}{kind} {}{oneof}", field.name())
}
