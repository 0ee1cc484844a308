use super::*;
use crate::adapter::{enumerate, noop};
use model::testing::{self, Case, Plan};

/// The noop adapter, which needs no driver, and every real one.
fn adapters() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let mut adapters = enumerate();
    adapters.extend(noop());
    adapters
}

fn case() -> Case {
    testing::case("failures", Plan { rows: 1000, ..Plan::default() }, 3)
}

#[test]
fn timed_kernels_give_the_same_bits_and_take_time() {
    let case = case();
    for (info, adapter) in adapters() {
        let mut plain = GpuBackend::new(&info, &adapter, &case.snapshot).unwrap();
        let mut timed = GpuBackend::timed(&info, &adapter, &case.snapshot).unwrap();
        let asked = |gpu: &GpuBackend| gpu.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        assert!(!asked(&plain), "scoring asks for nothing that it does not use");
        assert_eq!(asked(&timed), adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY));
        timed.limit_rows(256);
        let [mut expected, mut got] = [Scores::default(), Scores::default()];
        plain.score(&case.batch, &mut expected).unwrap();
        timed.score(&case.batch, &mut got).unwrap();
        assert!(expected == got, "{info}");
        assert!(plain.kernel_seconds().is_none() && timed.kernel_seconds().is_none_or(|seconds| seconds >= 0.0));
        println!("{info}: {:?} s", timed.kernel_seconds());
    }
}

#[test]
fn only_what_is_wanted_comes_back() {
    let case = case();
    let (rows, views) = (case.batch.rows, case.snapshot.views.len() as u64);
    let blocks = rows.div_ceil(256) as u64;
    for (info, adapter) in adapters() {
        let mut gpu = GpuBackend::new(&info, &adapter, &case.snapshot).unwrap();
        let (of_row, of_block, of_view) = (18, 16, 2);
        let lean = blocks * (256 * of_row + of_block);
        let whole = lean + blocks * 256 * of_view * views;
        let mut before = Traffic::default();
        for (mut out, back) in [(Scores::of_rows(), lean), (Scores::default(), whole), (Scores::of_rows(), lean)] {
            gpu.score(&case.batch, &mut out).unwrap();
            let now = gpu.traffic();
            assert_eq!(now.back - before.back, back, "{info}");
            // Hashes go up once, codes each time: more than a byte of each column and less than four.
            assert_eq!(now.hashes > before.hashes, before == Traffic::default(), "{info}");
            let columns = (gpu.card.resident.plan.columns() * rows) as u64;
            assert!((columns..4 * columns).contains(&(now.codes - before.codes)), "{info}");
            before = now;
        }
    }
}

#[test]
fn an_error_is_told_to_who_asked_and_not_to_who_works_beside() {
    let case = case();
    for (info, adapter) in adapters() {
        let mut gpu = GpuBackend::new(&info, &adapter, &case.snapshot).unwrap();
        let mut beside = gpu.another_here();
        gpu.score(&case.batch, &mut Scores::of_rows()).unwrap();
        let once = gpu.counters();
        gpu.gpu.buffer("too large", 1 << 60, wgpu::BufferUsages::STORAGE);
        gpu.gpu.buffer("invalid", 16, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE);
        let score_beside = || beside.score(&case.batch, &mut Scores::of_rows());
        std::thread::scope(|scope| scope.spawn(score_beside).join().unwrap()).unwrap();
        // The first of several is the cause of the others.
        let error = gpu.score(&case.batch, &mut Scores::of_rows()).unwrap_err().to_string();
        assert!(error.contains("1152921504606846976"), "{error}");
        assert_eq!(gpu.counters(), once, "what failed is not counted");
        gpu.score(&case.batch, &mut Scores::of_rows()).unwrap();
    }
}

#[test]
fn a_lost_device_is_an_error_for_good() {
    let case = case();
    for (info, adapter) in adapters() {
        let mut gpu = GpuBackend::new(&info, &adapter, &case.snapshot).unwrap();
        gpu.score(&case.batch, &mut Scores::default()).unwrap();
        gpu.gpu.device.destroy();
        for _ in 0..2 {
            let error = gpu.score(&case.batch, &mut Scores::default()).unwrap_err().to_string();
            assert!(error.contains(&info.name) && !error.contains('\n'), "{error}");
            assert!(error.contains("none of the 1000 rows of this batch is scored"), "{error}");
        }
    }
}

#[test]
fn a_driver_error_is_an_error_once() {
    let case = case();
    for (info, adapter) in adapters() {
        let mut gpu = GpuBackend::new(&info, &adapter, &case.snapshot).unwrap();
        gpu.gpu.buffer("too large", 1 << 60, wgpu::BufferUsages::STORAGE);
        let error = gpu.score(&case.batch, &mut Scores::default()).unwrap_err();
        assert!(matches!(error, BackendError::Device { .. }), "{error}");
        assert!(error.to_string().contains("none of the 1000 rows"), "{error}");
        gpu.score(&case.batch, &mut Scores::default()).unwrap();
    }
}

#[test]
fn what_exceeds_the_limits_is_refused_with_its_size() {
    let case = case();
    let (info, adapter) = adapters().pop().unwrap();
    let mut gpu = Gpu::new(&info, &adapter, wgpu::Features::empty()).unwrap();
    let kernels = Kernels::new(&gpu.device, 1);
    let bytes = case.snapshot.slots.len() as u64 * 16;
    gpu.largest = bytes / 8;
    let error = Slices::of(&gpu, &case.snapshot).unwrap_err().to_string();
    let text = format!("count table needs {bytes} bytes and the adapter takes at most {}", bytes / 2);
    assert!(error.contains(&text), "{error}");
    for (largest, number) in [(bytes / 4, 4), (bytes / 2 - 1, 4), (bytes / 2, 2), (bytes - 1, 2), (bytes, 1)] {
        gpu.largest = largest;
        assert_eq!(Slices::of(&gpu, &case.snapshot).unwrap().number, number);
    }

    let slices = Slices::of(&gpu, &case.snapshot).unwrap();
    let resident = Resident::new(&gpu, &kernels, slices, &case.snapshot).unwrap();
    let rows = rows_that_fit(&gpu, &resident, usize::MAX >> 8);
    let needed = rows as u64 / 256 * crate::slot::result_bytes(resident.views);
    assert!(rows > 0 && rows.is_multiple_of(256) && needed <= bytes);
    gpu.largest = 100;
    assert_eq!(rows_that_fit(&gpu, &resident, ROWS), 0);
    let mut dictionary = Dictionary::new(1);
    assert!(dictionary.update(&gpu, &[&case.batch.fields[0].hashes]).is_err());
}
