//! The command. Everything is in the library, where tests and benches see it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    siwx_gateway::cli::main()
}
