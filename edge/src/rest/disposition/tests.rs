use proptest::prelude::*;

use super::*;

fn parsed(header: &str) -> Result<(String, Option<String>), Malformed> {
    FormData::parse(header.as_bytes()).map(|form_data| (form_data.name, form_data.file_name))
}

#[test]
fn reads_what_clients_send() {
    for (header, name, file_name) in [
        (r#"form-data; name="receiver""#, "receiver", None),
        ("form-data; name=receiver", "receiver", None),
        ("Form-Data ;NAME=receiver ; ", "receiver", None),
        (r#"form-data; name="f"; filename="a b.txt""#, "f", Some("a b.txt")),
        (r#"form-data; filename="first.txt"; name="f""#, "f", Some("first.txt")),
        (r#"form-data; name="f"; FILENAME="up.txt""#, "f", Some("up.txt")),
        (r#"form-data; name="f"; filename=plain.txt; x=y"#, "f", Some("plain.txt")),
        (r#"form-data; name="f"; filename="""#, "f", Some("")),
        // A semicolon or an equals sign inside quotes invents no parameter.
        (r#"form-data; name="x; filename=evil.html""#, "x; filename=evil.html", None),
        (r#"form-data; name="f"; filename="a;b=c.txt""#, "f", Some("a;b=c.txt")),
        // Raw UTF-8, curl's escapes, browsers' escapes, a Windows path.
        (r#"form-data; name="f"; filename="наïve 👋.png""#, "f", Some("наïve 👋.png")),
        (r#"form-data; name="f"; filename="say \"hi\" \\.txt""#, "f", Some(r#"say "hi" \.txt"#)),
        (
            r#"form-data; name="f"; filename="say %22hi%22 100%.txt""#,
            "f",
            Some("say \"hi\" 100%.txt"),
        ),
        (r#"form-data; name="f"; filename="C:\dir\a.txt""#, "f", Some(r"C:\dir\a.txt")),
        // The extended form counts, before or after the plain one, where it can be read.
        ("form-data; name=f; filename*=UTF-8''na%C3%AFve.txt", "f", Some("naïve.txt")),
        (
            r#"form-data; filename*=utf-8'en'%e2%82%ac.txt; filename="EUR.txt"; name="f""#,
            "f",
            Some("€.txt"),
        ),
        (r#"form-data; name="f"; filename="e.txt"; filename*=UTF-8''%ff"#, "f", Some("e.txt")),
        (r#"form-data; name="f"; filename="e.txt"; filename*=KOI8-R''%c1"#, "f", Some("e.txt")),
    ] {
        let expected = Ok((name.to_owned(), file_name.map(str::to_owned)));
        assert_eq!(parsed(header), expected, "{header}");
    }
}

#[test]
fn refuses_what_is_ambiguous_or_broken() {
    for header in [
        "",
        "form-data",
        "attachment; name=f",
        r#"form-data; filename="x""#,
        r#"form-data; name="f"#,
        r#"form-data; name="f\""#,
        r#"form-data; name="f"x"#,
        r#"form-data; name="f" filename="g""#,
        "form-data; name=a b",
        "form-data; name=",
        "form-data; name",
        "form-data; name=a; name=b",
        r#"form-data; name="f"; filename="a"; filename="b""#,
    ] {
        assert_eq!(parsed(header), Err(Malformed), "{header}");
    }
}

#[test]
fn downloads_name_their_file() {
    for (file_name, header) in [
        ("a b.txt", r#"inline; filename="a b.txt""#),
        (r#"q"\.txt"#, r#"inline; filename="q\"\\.txt""#),
        ("100%.txt", r#"inline; filename="100%.txt"; filename*=UTF-8''100%25.txt"#),
        ("naïve.txt", r#"inline; filename="na_ve.txt"; filename*=UTF-8''na%C3%AFve.txt"#),
        ("a\r\nb", r#"inline; filename="a__b"; filename*=UTF-8''a%0D%0Ab"#),
    ] {
        assert_eq!(download("inline", file_name), header, "{file_name}");
    }
}

proptest! {
    #[test]
    fn any_name_survives_in_browsers_form(name in "[^\\\\%\r\n\u{0}]*") {
        let header = format!("form-data; name=\"f\"; filename=\"{}\"", name.replace('"', "%22"));
        prop_assert_eq!(parsed(&header), Ok(("f".to_owned(), Some(name))));
    }

    #[test]
    fn any_name_survives_in_quoted_form(name in "[^%]*") {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let header = format!("form-data; filename=\"{escaped}\"; name=f");
        prop_assert_eq!(parsed(&header), Ok(("f".to_owned(), Some(name))));
    }

    #[test]
    fn what_a_download_says_is_read_back(name in ".*") {
        let header = download("form-data; name=f", &name);
        prop_assert!(header.to_str().is_ok());
        let file_name = FormData::parse(header.as_bytes()).map(|form_data| form_data.file_name);
        prop_assert_eq!(file_name, Ok(Some(name)));
    }

    #[test]
    fn anything_is_parsed_or_refused(header in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = FormData::parse(&header);
    }
}
