//! x
pub(super) fn run(_: &super::cli::DemoOptions) -> std::io::Result<u8> {
    Ok(1)
}
