//! The three formats, their columns and their bad rows.

use super::*;

fn texts(content: impl AsRef<[u8]>) -> Texts {
    read(content.as_ref(), &Task::reviews()).unwrap()
}

fn row(line: u64, text: &str, label: Option<usize>) -> Row {
    Row {
        line,
        text: text.into(),
        second: None,
        label,
    }
}

#[test]
fn the_three_formats_say_the_same() {
    let expected = vec![row(2, "so, good", Some(1)), row(3, "meh", None)];
    let csv = texts("text,label\n\"so, good\",positive\nmeh,\n");
    assert_eq!((csv.format, &csv.rows), (Format::Csv, &expected));
    let semicolons = texts("label;text\r\npositive;so, good\r\n;meh\r\n");
    assert_eq!(semicolons.rows, expected);
    let tsv = texts("text\tlabel\nso, good\tpositive\nmeh\t\n");
    assert_eq!((tsv.format, &tsv.rows), (Format::Tsv, &expected));
    let jsonl = texts(
        "\n{\"text\": \"so, good\", \"label\": \"positive\"}\n{\"label\": null, \"text\": \"meh\"}",
    );
    assert_eq!((jsonl.format, &jsonl.rows), (Format::Jsonl, &expected));
    assert!(
        [csv, semicolons, tsv, jsonl]
            .iter()
            .all(|t| t.problems.is_empty())
    );
}

#[test]
fn a_byte_order_mark_and_other_cases_of_a_header_are_fine() {
    assert_eq!(texts("\u{feff}Text\nfine\n").rows, [row(2, "fine", None)]);
}

#[test]
fn a_quoted_text_may_span_lines() {
    let found = texts("text,label\n\"one\ntwo\",negative\nthree,positive\n");
    let expected = [row(2, "one\ntwo", Some(0)), row(4, "three", Some(1))];
    assert_eq!(found.rows, expected);
}

#[test]
fn a_quote_that_never_closes_is_named() {
    let found = texts("text,label\nten\" wide,positive\n\"three,positive\nfour,negative\n");
    assert_eq!(found.rows, [row(2, "ten\" wide", Some(1))]);
    assert_eq!(found.problems[0].line, 3);
    let message = &found.problems[0].message;
    assert!(message.contains("never closes"), "{message}");
    let legal = texts("text,label,size\n\"two\nlines\",positive,5\" pipe\n");
    assert_eq!(legal.rows, [row(2, "two\nlines", Some(1))]);
}

#[test]
fn an_unknown_label_is_a_problem_of_its_line() {
    let found = texts("text,label\nfine,good\nbad,negative\n");
    assert_eq!(found.rows, [row(3, "bad", Some(0))]);
    assert_eq!(found.problems[0].line, 2);
    let message = &found.problems[0].message;
    assert_eq!(
        message,
        "expected a label of negative, positive, got \"good\""
    );
}

#[test]
fn bad_rows_are_described_and_the_rest_counted() {
    let mut content = b"label,text\n".to_vec();
    content.extend(b"positive\n,\n,\xff\xfe\n");
    content.extend(b"positive,\n".repeat(30));
    let found = texts(&content);
    assert!(found.rows.is_empty());
    assert_eq!((found.problems.len(), found.more_problems), (20, 13));
    assert!(
        found.problems[0]
            .message
            .contains("expected at least 2 columns, got 1")
    );
    assert!(found.problems[1].message.contains("empty"));
    assert!(found.problems[2].message.contains("UTF-8"));
}

#[test]
fn bad_json_lines_are_problems() {
    let found = texts("{\"text\": \"a\"}\n{oops\n[1]\n{\"text\": 3}\n{\"x\": 1}\n");
    assert_eq!(found.rows, [row(1, "a", None)]);
    let lines: Vec<u64> = found.problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [2, 3, 4, 5]);
}

#[test]
fn a_missing_column_names_those_that_are_there() {
    let error = |content: &str| {
        let error = read(content.as_bytes(), &Task::reviews());
        error.unwrap_err().to_string()
    };
    for content in ["review,stars\na,b\n", "{\"review\": \"a\", \"stars\": 1}"] {
        let expected = r#"texts: expected a column "text", got the columns ["review", "stars"]"#;
        assert_eq!(error(content), expected);
    }
    assert!(error(" \n ").contains("empty file"));
}

#[test]
fn the_task_names_the_columns() {
    let mut task = Task {
        text_columns: vec!["premise".into(), "claim".into()],
        label_column: "verdict".into(),
        ..Task::reviews()
    };
    task.labels[1].aliases = vec!["1".into()];
    let expected = Row {
        second: Some("b".into()),
        ..row(2, "a", Some(1))
    };
    for content in [
        "verdict,claim,premise\n1,b,a\n",
        "\n{\"premise\": \"a\", \"claim\": \" b\", \"verdict\": 1}\n",
    ] {
        let rows = read(content.as_bytes(), &task).unwrap().rows;
        assert_eq!(rows, std::slice::from_ref(&expected));
    }
    let error = read(b"premise,text\na,b\n", &task).unwrap_err().to_string();
    assert!(error.contains("expected a column \"claim\""), "{error}");
    let short = read(b"premise,claim\na\na,\n", &task).unwrap();
    let messages: Vec<&str> = short.problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "expected at least 2 columns, got 1",
            "expected a text, got an empty one"
        ]
    );
}

#[test]
fn too_large_a_file_is_refused_unread() {
    let error = read(&vec![b'a'; MOST_BYTES + 1], &Task::reviews()).unwrap_err();
    assert!(matches!(error, LearnerError::TextsSize { .. }), "{error}");
}

#[test]
fn rows_of_old_line_ends_stand_on_their_lines() {
    let rows = [
        row(2, "good", Some(1)),
        row(3, "two\rlines", None),
        row(5, "meh", None),
    ];
    let table = "text,label\rgood,positive\r\"two\rlines\",\rmeh,\r";
    assert_eq!(texts(table).rows, rows);
    let values = column(table.as_bytes(), "text").unwrap();
    assert_eq!(values.keys().copied().collect::<Vec<_>>(), [2, 3, 5]);
}
