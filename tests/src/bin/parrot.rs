//! Writes the model that speaks by a script to the path that is given.

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| std::io::Error::other("parrot PATH"))?;
    std::fs::write(path, tests::parrot::parrot())
}
