//! Writes the seeds of a target, one file each: `fuzz TARGET FOLDER`.

use std::process::ExitCode;
use std::{env, fs};

use fuzz::seeds;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [target, folder] = &arguments[..] else {
        let names = fuzz::TARGETS.map(|(name, _)| name).join(" ");
        eprintln!("fuzz TARGET FOLDER writes a target's seeds; the targets are: {names}");
        return ExitCode::from(2);
    };
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut seeds = seeds::of(target).into_iter().enumerate();
        seeds.try_for_each(|(number, seed)| fs::write(format!("{folder}/seed-{number:02}"), seed))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{folder}: {error}");
            ExitCode::FAILURE
        }
    }
}
