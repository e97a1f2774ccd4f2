//! What `docs/operating.md` has operators type: flags that there are.

use crate::program::{done, lpfl};

/// The flags on a line of a shell, a unit or a container's file.
fn flags(line: &str) -> impl Iterator<Item = &str> {
    let is_between = |character: char| character.is_whitespace() || "\"',[]=`".contains(character);
    let words = line.split(is_between);
    words.filter(|word| word.starts_with("--") && word.len() > 2)
}

#[test]
fn page_for_operators_names_flags_that_there_are() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let page = std::fs::read_to_string(page)
        .unwrap()
        .replace("\", \"", " ");
    for (command, least) in [("serve", 10), ("join", 2)] {
        let help = done(&lpfl(&[command, "--help"]).output().unwrap());
        let start = format!("lpfl {command}");
        let named = page.lines().filter_map(|line| line.split_once(&start));
        let named: Vec<&str> = named.flat_map(|(_, rest)| flags(rest)).collect();
        assert!(named.len() >= least, "{command}: {named:?}");
        for flag in named {
            let is_named = help.split_whitespace().any(|word| word == flag);
            assert!(is_named, "{command} has no {flag}");
        }
    }
}
