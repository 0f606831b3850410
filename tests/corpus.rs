//! The inputs under `fuzz/corpus`, each held to what its fuzz target asks: seeds of every kind, and every input that was
//! found to break something once. So a finding stays a regression test where libFuzzer cannot be built.

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library for the binaries of the targets")]
mod targets;

/// Says which input it was that broke something.
struct Named<'p>(&'p Path);

impl Drop for Named<'_> {
    #[expect(clippy::print_stderr, reason = "it belongs beside the panic")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {}", self.0.display());
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn every_input_of_the_corpus_holds() {
    let mut count = 0;
    for (name, judge) in targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let inputs = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let before = count;
        for input in inputs {
            let path = input.expect("an entry").path();
            let bytes = fs::read(&path).expect("an input");
            let _named = Named(&path);
            judge(&bytes);
            count += 1;
        }
        assert!(count > before, "{name} has no seeds");
    }
    println!("corpus: {count} of {count}");
}
