//! The contract only grows: whatever a release has promised stays as it was.
//!
//! `released.txt` holds the shape of the released contract. To accept a new release, write it anew
//! and review the difference, in which no line may vanish or change without a new package version:
//!
//! ```sh
//! NETROX_CHAT_ACCEPT_CONTRACT=1 cargo test -p netrox-chat --test contract released
//! ```

use std::{env, fs, path::Path};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use crate::shape::Shape;

const ACCEPT: &str = "NETROX_CHAT_ACCEPT_CONTRACT";
const RELEASED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/contract/released.txt");

pub(crate) fn current() -> FileDescriptorSet {
    FileDescriptorSet::decode(netrox_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set")
}

#[test]
fn the_contract_keeps_what_was_released() {
    let current = Shape::of(&current());
    let path = Path::new(RELEASED);
    if env::var_os(ACCEPT).is_some() {
        fs::write(path, current.to_string()).expect("write the released contract");
    }
    let released = fs::read_to_string(path).expect("the released contract");
    let released = Shape::parse(&released).expect("the released contract");
    assert!(released.len() > 100, "the released contract is nearly empty");
    let breaks: Vec<_> =
        released.breaks_in(&current).iter().map(|found| found.to_string()).collect();
    assert!(
        breaks.is_empty(),
        "peers of the last release would misunderstand this one; what is released under a new \
         package is accepted with {ACCEPT}=1:\n{}",
        breaks.join("\n")
    );
}

#[test]
fn a_shape_survives_its_text() {
    let shape = Shape::of(&current());
    assert_eq!(Shape::parse(&shape.to_string()), Ok(shape));
}

#[test]
fn a_text_that_is_no_shape_is_refused() {
    for text in ["nonsense", "field a.B x = string c", "message a.B\nmessage a.B", "enum value a"] {
        assert!(Shape::parse(text).is_err(), "{text:?}");
    }
}

/// A small contract with one of everything.
fn sample() -> FileDescriptorSet {
    let field = |name: &str, number, kind: Type| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..Default::default()
    };
    let message = |name: &str, fields: Vec<FieldDescriptorProto>| DescriptorProto {
        name: Some(name.into()),
        field: fields,
        ..Default::default()
    };
    let ask = DescriptorProto {
        nested_type: vec![message("Part", vec![field("text", 1, Type::String)])],
        oneof_decl: vec![
            OneofDescriptorProto { name: Some("choice".into()), options: None },
            OneofDescriptorProto { name: Some("_maybe".into()), options: None },
        ],
        ..message(
            "Ask",
            vec![
                field("plain", 1, Type::String),
                FieldDescriptorProto {
                    label: Some(Label::Repeated.into()),
                    type_name: Some(".sample.v1.Ask.Part".into()),
                    ..field("many", 2, Type::Message)
                },
                FieldDescriptorProto { oneof_index: Some(0), ..field("one", 3, Type::Int64) },
                FieldDescriptorProto {
                    oneof_index: Some(1),
                    proto3_optional: Some(true),
                    ..field("maybe", 4, Type::Uint64)
                },
                field("more", 5, Type::Int64),
            ],
        )
    };
    let value = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        options: None,
    };
    let method = MethodDescriptorProto {
        name: Some("Do".into()),
        input_type: Some(".sample.v1.Ask".into()),
        output_type: Some(".sample.v1.Answer".into()),
        client_streaming: Some(true),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("sample/v1/sample.proto".into()),
        package: Some("sample.v1".into()),
        message_type: vec![ask, message("Answer", vec![])],
        enum_type: vec![prost_types::EnumDescriptorProto {
            name: Some("Kind".into()),
            value: vec![value("KIND_UNSPECIFIED", 0), value("KIND_GOOD", 1)],
            ..Default::default()
        }],
        service: vec![ServiceDescriptorProto {
            name: Some("Service".into()),
            method: vec![method],
            options: None,
        }],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }
}

/// What a change of the sample breaks, as it is reported.
fn breaks(change: impl FnOnce(&mut FileDescriptorProto)) -> Vec<String> {
    let mut changed = sample();
    change(&mut changed.file[0]);
    let found = Shape::of(&sample()).breaks_in(&Shape::of(&changed));
    found.iter().map(|found| found.to_string()).collect()
}

fn ask(file: &mut FileDescriptorProto) -> &mut Vec<FieldDescriptorProto> {
    &mut file.message_type[0].field
}

fn method(file: &mut FileDescriptorProto) -> &mut MethodDescriptorProto {
    &mut file.service[0].method[0]
}

#[test]
fn the_text_shows_one_of_everything() {
    let expected = "\
        enum sample.v1.Kind\n\
        enum value sample.v1.Kind 0 = KIND_UNSPECIFIED\n\
        enum value sample.v1.Kind 1 = KIND_GOOD\n\
        field sample.v1.Ask 1 = string plain\n\
        field sample.v1.Ask 2 = repeated sample.v1.Ask.Part many\n\
        field sample.v1.Ask 3 = int64 one in oneof choice\n\
        field sample.v1.Ask 4 = optional uint64 maybe\n\
        field sample.v1.Ask 5 = int64 more\n\
        field sample.v1.Ask.Part 1 = string text\n\
        message sample.v1.Answer\n\
        message sample.v1.Ask\n\
        message sample.v1.Ask.Part\n\
        method sample.v1.Service Do = stream sample.v1.Ask -> sample.v1.Answer\n\
        service sample.v1.Service\n";
    assert_eq!(Shape::of(&sample()).to_string(), expected);
}

#[test]
fn what_grows_breaks_nothing() {
    assert_eq!(breaks(|_| {}), [""; 0]);
    let grown = breaks(|file| {
        let mut field = ask(file)[0].clone();
        field.name = Some("new".into());
        field.number = Some(6);
        ask(file).push(field.clone());
        field.name = Some("another".into());
        field.number = Some(7);
        field.oneof_index = Some(0);
        ask(file).push(field);
        let mut message = file.message_type[1].clone();
        message.name = Some("New".into());
        file.message_type.push(message);
        let value = EnumValueDescriptorProto {
            name: Some("KIND_NEW".into()),
            number: Some(2),
            options: None,
        };
        file.enum_type[0].value.push(value);
        let mut method = method(file).clone();
        method.name = Some("DoMore".into());
        file.service[0].method.push(method);
        let mut service = file.service[0].clone();
        service.name = Some("Another".into());
        file.service.push(service);
    });
    assert_eq!(grown, [""; 0]);
    // Order and files are no part of the contract.
    assert_eq!(breaks(|file| ask(file).reverse()), [""; 0]);
    assert_eq!(breaks(|file| file.name = Some("elsewhere.proto".into())), [""; 0]);
}

#[test]
fn a_changed_field_is_a_break() {
    let plain = |change: fn(&mut FieldDescriptorProto)| breaks(|file| change(&mut ask(file)[0]));
    let was = "field sample.v1.Ask 1: was `string plain`, is ";
    assert_eq!(plain(|field| field.set_type(Type::Bytes)), [format!("{was}`bytes plain`")]);
    assert_eq!(plain(|field| field.name = Some("x".into())), [format!("{was}`string x`")]);
    assert_eq!(
        plain(|field| field.set_label(Label::Repeated)),
        [format!("{was}`repeated string plain`")]
    );
    assert_eq!(
        plain(|field| field.oneof_index = Some(0)),
        [format!("{was}`string plain in oneof choice`")]
    );
    assert_eq!(
        plain(|field| field.proto3_optional = Some(true)),
        [format!("{was}`optional string plain`")]
    );
    assert_eq!(
        plain(|field| field.number = Some(9)),
        ["field sample.v1.Ask 1 `string plain` is gone"]
    );
    // A number that is taken over by another field.
    assert_eq!(
        breaks(|file| {
            ask(file)[0].number = Some(5);
            ask(file)[4].number = Some(1);
        }),
        [
            "field sample.v1.Ask 1: was `string plain`, is `int64 more`",
            "field sample.v1.Ask 5: was `int64 more`, is `string plain`",
        ]
    );
}

#[test]
fn a_field_that_leaves_its_oneof_or_its_type_is_a_break() {
    assert_eq!(
        breaks(|file| ask(file)[2].oneof_index = None),
        ["field sample.v1.Ask 3: was `int64 one in oneof choice`, is `int64 one`"]
    );
    assert_eq!(
        breaks(|file| file.message_type[0].oneof_decl[0].name = Some("other".into())),
        ["field sample.v1.Ask 3: was `int64 one in oneof choice`, is `int64 one in oneof other`"]
    );
    assert_eq!(
        breaks(|file| ask(file)[1].type_name = Some(".sample.v1.Answer".into())),
        ["field sample.v1.Ask 2: was `repeated sample.v1.Ask.Part many`, \
          is `repeated sample.v1.Answer many`"]
    );
    assert_eq!(
        breaks(|file| ask(file)[3].proto3_optional = None),
        ["field sample.v1.Ask 4: was `optional uint64 maybe`, is `uint64 maybe in oneof _maybe`"]
    );
}

#[test]
fn a_changed_method_is_a_break() {
    let was = "method sample.v1.Service Do: was `stream sample.v1.Ask -> sample.v1.Answer`, is ";
    assert_eq!(
        breaks(|file| method(file).client_streaming = None),
        [format!("{was}`sample.v1.Ask -> sample.v1.Answer`")]
    );
    assert_eq!(
        breaks(|file| method(file).server_streaming = Some(true)),
        [format!("{was}`stream sample.v1.Ask -> stream sample.v1.Answer`")]
    );
    assert_eq!(
        breaks(|file| method(file).input_type = Some(".sample.v1.Answer".into())),
        [format!("{was}`stream sample.v1.Answer -> sample.v1.Answer`")]
    );
    assert_eq!(
        breaks(|file| method(file).name = Some("Other".into())),
        ["method sample.v1.Service Do `stream sample.v1.Ask -> sample.v1.Answer` is gone"]
    );
}

#[test]
fn a_changed_enum_value_is_a_break() {
    assert_eq!(
        breaks(|file| file.enum_type[0].value[1].number = Some(2)),
        ["enum value sample.v1.Kind 1 `KIND_GOOD` is gone"]
    );
    assert_eq!(
        breaks(|file| file.enum_type[0].value[1].name = Some("KIND_BAD".into())),
        ["enum value sample.v1.Kind 1: was `KIND_GOOD`, is `KIND_BAD`"]
    );
}

#[test]
fn another_package_breaks_everything() {
    let everything = Shape::of(&sample()).len();
    assert_eq!(breaks(|file| file.package = Some("sample.v2".into())).len(), everything);
}

/// Takes each element of the real contract away in turn.
#[test]
fn no_element_of_the_contract_can_vanish_unseen() {
    let whole = current();
    let shape = Shape::of(&whole);
    let mut removed = 0;
    let mut check = |what: String, rest: FileDescriptorSet| {
        assert!(!shape.breaks_in(&Shape::of(&rest)).is_empty(), "{what} vanished unseen");
        removed += 1;
    };
    for (f, file) in whole.file.iter().enumerate() {
        if file.package().starts_with("google.") {
            continue;
        }
        for (m, message) in file.message_type.iter().enumerate() {
            let mut rest = whole.clone();
            rest.file[f].message_type.remove(m);
            check(message.name().to_owned(), rest);
            for (n, field) in message.field.iter().enumerate() {
                let mut rest = whole.clone();
                rest.file[f].message_type[m].field.remove(n);
                check(format!("{}.{}", message.name(), field.name()), rest);
            }
        }
        for (e, enumeration) in file.enum_type.iter().enumerate() {
            for (n, value) in enumeration.value.iter().enumerate() {
                let mut rest = whole.clone();
                rest.file[f].enum_type[e].value.remove(n);
                check(value.name().to_owned(), rest);
            }
        }
        for (s, service) in file.service.iter().enumerate() {
            for (n, method) in service.method.iter().enumerate() {
                let mut rest = whole.clone();
                rest.file[f].service[s].method.remove(n);
                check(method.name().to_owned(), rest);
            }
        }
    }
    assert!(removed > 100, "only {removed} elements were tried");
}

/// The names of all methods of the contract, sorted.
pub(crate) fn method_names() -> Vec<String> {
    let files = current().file.into_iter().filter(|file| file.package() == "netrox.chat.v1");
    let services = files.flat_map(|file| file.service);
    let methods = services.flat_map(|service| service.method);
    let mut names: Vec<_> = methods.map(|method| method.name().to_owned()).collect();
    names.sort();
    names
}

/// The full names of all services of the contract.
pub(crate) fn service_names() -> Vec<String> {
    let files = current().file.into_iter().filter(|file| file.package() == "netrox.chat.v1");
    let services = files.flat_map(|file| file.service);
    services.map(|service| format!("netrox.chat.v1.{}", service.name())).collect()
}
