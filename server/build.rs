//! Has the embedded files looked at again when they change.

fn main() {
    // A debug build reads them at run time instead.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        println!("cargo:rerun-if-changed=build.rs");
        return;
    }
    for folder in ["../www/dist", "../models/default", "../corpora"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
