//! The project's chores, as `cargo xtask NAME`.

mod aarch64;
mod apt;
mod card_kit;
mod cluster;
mod demo;
mod demo_report;
mod ebpf;
mod ebpf_compare;
mod fuzz;
mod overhead_bench;
mod package;
mod package_test;
mod peers;
mod pictures;
mod report;
mod rescore_bench;
mod sensor_bench;
mod setup;
mod shell;
mod soak;
mod test;
mod vm;

use clap::{Parser, Subcommand};

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build everything, watch real kernel events of ordinary work, learn them, and show what stands out.
    Demo(demo::DemoArgs),
    /// Install what the tests need where that is allowed, then run every check and test.
    Test(test::TestArgs),
    /// Build the kernel programs from source into `agent-ebpf/prebuilt`.
    Ebpf(ebpf::EbpfArgs),
    /// Build the pages that `ebbline` writes from their sources.
    Report(report::ReportArgs),
    /// Check those pages: their bytes, and that a browser shows them as it should.
    ReportCheck(report::ReportCheckArgs),
    /// Check that what a server installs compiles for aarch64.
    CheckAarch64(aarch64::Aarch64Args),
    /// Fuzz whatever reads untrusted bytes, guided by coverage.
    Fuzz(fuzz::FuzzArgs),
    /// Build and test what learns and scores on many machines.
    Cluster(cluster::ClusterArgs),
    /// Build the Debian package.
    Package(package::PackageArgs),
    /// Install, run, upgrade, remove and purge the package on a Debian of its own, in a folder.
    PackageTest(package_test::PackageTestArgs),
    /// Measure what the sensor bears without a loss, what it costs, and its memory.
    SensorBench(sensor_bench::SensorBenchArgs),
    /// Measure what watching costs the watched, beside auditd and bpftrace.
    OverheadBench(overhead_bench::OverheadBenchArgs),
    /// Take the pictures in docs/images and README.md, of real runs.
    Pictures(pictures::PicturesArgs),
    /// Run other detectors on the labelled sets, for `ebbline eval --peers`.
    Peers(peers::PeersArgs),
    /// Learn and score a generated archive, beside DuckDB, Polars and DataFusion.
    RescoreBench(rescore_bench::RescoreBenchArgs),
    /// Measure Ebbline beside query engines, detectors and sensors, and write docs/benchmarks.md.
    Benchmarks(rescore_bench::BenchmarksArgs),
    /// Pack what measures a card on a machine without a compiler.
    CardKit(card_kit::CardKitArgs),
    /// Kill, stop and load the agent for a long time, and fuzz for long.
    Soak(soak::SoakArgs),
    /// Run the live tests on stock Debian kernels, under software emulation.
    VmTest(vm::VmTestArgs),
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().chore {
        Chore::Demo(args) => demo::run(args),
        Chore::Test(args) => test::run(args),
        Chore::Ebpf(args) => ebpf::run(args),
        Chore::Report(args) => report::build(&args),
        Chore::ReportCheck(args) => report::check(&args),
        Chore::CheckAarch64(args) => aarch64::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Cluster(args) => cluster::run(&args),
        Chore::Package(args) => package::run(&args),
        Chore::PackageTest(args) => package_test::run(&args),
        Chore::SensorBench(args) => sensor_bench::run(&args),
        Chore::OverheadBench(args) => overhead_bench::run(&args),
        Chore::Pictures(args) => pictures::run(&args),
        Chore::Peers(args) => peers::run(&args),
        Chore::RescoreBench(args) => rescore_bench::run(&args),
        Chore::Benchmarks(args) => rescore_bench::page(&args),
        Chore::CardKit(args) => card_kit::run(&args),
        Chore::Soak(args) => soak::run(&args),
        Chore::VmTest(args) => vm::run(&args),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
