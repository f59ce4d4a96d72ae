//! Data sets through the public door: batches, splits, noise, synthetic clusters and CIFAR files.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use gleaner::Error;
use gleaner::data::cifar::{self, CifarLabels, CifarOptions, Version};
use gleaner::data::synthetic::{ClusterOptions, Clusters, clusters};
use gleaner::data::{Dataset, flip_labels, shuffled_batches, stratified_split};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn seeded(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Six points of shape (2, 3), classes 0 to 2; number `100 p + 10 r + c` at point p, row r, column c.
fn six_points() -> Dataset {
    let numbers: Vec<f32> = (0..6u8)
        .flat_map(|p| (0..2u8).map(move |r| (p, r)))
        .flat_map(|(p, r)| (0..3u8).map(move |c| (p, r, c)))
        .map(|(p, r, c)| 100.0 * f32::from(p) + 10.0 * f32::from(r) + f32::from(c))
        .collect();
    let inputs = Tensor::from_vec(numbers, (6, 2, 3), &Device::Cpu).unwrap();
    Dataset::new(inputs, vec![0, 1, 2, 0, 1, 0], 3).unwrap()
}

fn rows(data: &Dataset) -> Vec<Vec<f32>> {
    data.inputs().to_vec2().unwrap()
}

// Dataset.

#[test]
fn a_batch_holds_the_points_asked_for_in_their_order() {
    let batch = six_points().batch(&[4, 0, 4]).unwrap();
    assert_eq!(batch.indices, [4, 0, 4]);
    assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), [1, 0, 1]);
    let expected =
        [[[400., 401., 402.], [410., 411., 412.]], [[0., 1., 2.], [10., 11., 12.]]].map(Vec::from);
    let got = batch.inputs.to_vec3::<f32>().unwrap();
    assert_eq!(got[0], expected[0]);
    assert_eq!(got[1], expected[1]);
    assert_eq!(got[2], expected[0]);
}

#[test]
fn a_subset_keeps_the_number_of_classes() {
    let subset = six_points().subset(&[3, 1]).unwrap();
    assert_eq!(subset.labels(), [0, 1]);
    assert_eq!((subset.len(), subset.is_empty(), subset.classes()), (2, false, 3));
    assert_eq!(subset.class_counts(), [1, 1, 0]);
    assert_eq!(subset.inputs().dims(), [2, 2, 3]);
}

#[test]
fn conversions_keep_the_values() {
    let data = six_points();
    let wide = data.to_dtype(DType::F64).unwrap().to_device(&Device::Cpu).unwrap();
    assert_eq!(wide.inputs().dtype(), DType::F64);
    assert_eq!(wide.labels(), data.labels());
    let back = wide.to_dtype(DType::F32).unwrap();
    let flat = |data: &Dataset| data.inputs().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(&back), flat(&data));
}

#[test]
fn bad_points_and_labels_are_refused() {
    let tensor =
        |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap();
    let refused = |inputs, labels, classes| Dataset::new(inputs, labels, classes).unwrap_err();
    assert!(matches!(refused(tensor(&[1.0]), vec![], 1), Error::Shape { .. }));
    assert!(matches!(refused(tensor(&[]), vec![], 1), Error::Shape { .. }));
    let scalar = Tensor::new(1f32, &Device::Cpu).unwrap();
    assert!(matches!(refused(scalar, vec![0], 1), Error::Shape { .. }));
    let empty_points = Tensor::zeros((2, 0), DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(refused(empty_points, vec![0, 0], 1), Error::Shape { .. }));
    let outside = refused(tensor(&[1.0, 2.0]), vec![0, 3], 3);
    assert!(matches!(outside, Error::OutOfRange { found: 3.0, .. }), "{outside}");
}

#[test]
fn a_number_that_is_not_finite_is_refused_with_its_place() {
    // Beyond the first piece that is checked at once.
    let mut numbers = vec![0f32; 3000 * 2];
    numbers[2 * 2500 + 1] = f32::NAN;
    let inputs = Tensor::from_vec(numbers, (3000, 2), &Device::Cpu).unwrap();
    let error = Dataset::new(inputs, vec![0; 3000], 1).unwrap_err();
    assert!(matches!(error, Error::NotFinite { row: 2500, column: 1, .. }), "{error}");
}

#[test]
fn bad_indices_and_replacement_labels_are_refused() {
    let data = six_points();
    assert!(matches!(data.batch(&[]).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(data.batch(&[0, 6]).unwrap_err(), Error::OutOfRange { found: 6.0, .. }));
    assert!(matches!(data.subset(&[6]).unwrap_err(), Error::OutOfRange { .. }));
    assert!(matches!(data.clone().with_labels(vec![0; 5]).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(data.clone().with_labels(vec![3; 6]).unwrap_err(), Error::OutOfRange { .. }));
    assert_eq!(data.with_labels(vec![2; 6]).unwrap().labels(), [2; 6]);
}

// Batches, splits, noise.

#[test]
fn an_epoch_visits_every_point_once() {
    let batches = shuffled_batches(103, 10, &mut seeded(1));
    assert_eq!(batches.len(), 11);
    assert!(batches[..10].iter().all(|batch| batch.len() == 10));
    assert_eq!(batches[10].len(), 3);
    let mut all = batches.concat();
    assert_ne!(all, (0..103).collect::<Vec<_>>(), "shuffled");
    all.sort_unstable();
    assert_eq!(all, (0..103).collect::<Vec<_>>());

    assert_eq!(batches, shuffled_batches(103, 10, &mut seeded(1)));
    assert_ne!(batches, shuffled_batches(103, 10, &mut seeded(2)));
    assert!(shuffled_batches(0, 10, &mut seeded(1)).is_empty());
    assert_eq!(shuffled_batches(3, 0, &mut seeded(1)).len(), 3);
}

#[test]
fn a_stratified_split_keeps_class_proportions() {
    // Counts 50, 30, 20 of labels 0, 7, 2; shuffled positions.
    let label = |i: usize| match (i * 37) % 100 {
        0..50 => 0,
        50..80 => 7,
        _ => 2,
    };
    let labels: Vec<u32> = (0..100).map(label).collect();
    let (first, rest) = stratified_split(&labels, 21, &mut seeded(3)).unwrap();
    let count = |part: &[usize], label| part.iter().filter(|&&i| labels[i] == label).count();
    // Quotas 10.5, 6.3, 4.2: the largest remainder is that of label 0.
    assert_eq!([0, 7, 2].map(|label| count(&first, label)), [11, 6, 4]);
    assert!(first.is_sorted() && rest.is_sorted());
    let mut all = [first.clone(), rest].concat();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());

    assert_eq!(first, stratified_split(&labels, 21, &mut seeded(3)).unwrap().0);
    assert_ne!(first, stratified_split(&labels, 21, &mut seeded(4)).unwrap().0);
}

#[test]
fn a_stratified_split_works_at_its_limits() {
    let labels = [5, u32::MAX, 5];
    assert_eq!(stratified_split(&labels, 0, &mut seeded(0)).unwrap(), (vec![], vec![0, 1, 2]));
    assert_eq!(stratified_split(&labels, 3, &mut seeded(0)).unwrap(), (vec![0, 1, 2], vec![]));
    assert_eq!(stratified_split(&[], 0, &mut seeded(0)).unwrap(), (vec![], vec![]));
    // Equal remainders: the smaller label is rounded up.
    assert_eq!(stratified_split(&[1, 0], 1, &mut seeded(0)).unwrap(), (vec![1], vec![0]));
    let error = stratified_split(&labels, 4, &mut seeded(0)).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { found: 4.0, .. }));
}

#[test]
fn flipped_labels_are_as_many_as_asked_and_really_differ() {
    let labels: Vec<u32> = (0..1000).map(|i| i % 4).collect();
    let (noisy, flipped) = flip_labels(&labels, 4, 0.3, &mut seeded(5)).unwrap();
    assert_eq!(flipped.iter().filter(|&&mark| mark).count(), 300);
    for i in 0..labels.len() {
        assert_eq!(noisy[i] != labels[i], flipped[i], "point {i}");
        assert!(noisy[i] < 4);
    }
    // Each of the twelve ordered pairs of different classes is expected 25 times.
    for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))) {
        let count =
            (0..1000).filter(|&i| flipped[i] && (labels[i], noisy[i]) == (from, to)).count();
        assert!(from == to || (8..=50).contains(&count), "{from} -> {to}: {count}");
    }
    assert_eq!(noisy, flip_labels(&labels, 4, 0.3, &mut seeded(5)).unwrap().0);
    assert_ne!(noisy, flip_labels(&labels, 4, 0.3, &mut seeded(6)).unwrap().0);
}

#[test]
fn flips_at_the_limits_and_bad_requests() {
    let flip =
        |labels: &[u32], classes, fraction| flip_labels(labels, classes, fraction, &mut seeded(0));
    assert_eq!(flip(&[0, 1], 2, 0.0).unwrap(), (vec![0, 1], vec![false; 2]));
    assert_eq!(flip(&[0, 1], 2, 1.0).unwrap(), (vec![1, 0], vec![true; 2]));
    assert_eq!(flip(&[0, 0], 1, 0.0).unwrap().0, [0, 0]);
    assert!(flip(&[], 2, 1.0).unwrap().0.is_empty());
    for (labels, classes, fraction) in [
        (vec![0], 2, -0.1),
        (vec![0], 2, 1.1),
        (vec![0], 2, f64::NAN),
        (vec![2], 2, 0.5),
        (vec![0], 1, 0.5),
    ] {
        let error = flip(&labels, classes, fraction).unwrap_err();
        assert!(
            matches!(error, Error::OutOfRange { .. }),
            "{labels:?} {classes} {fraction}: {error}"
        );
    }
}

// Synthetic clusters.

fn draw(options: &ClusterOptions, seed: u64) -> Clusters {
    clusters(options, &mut seeded(seed)).unwrap()
}

fn sizes(data: &Clusters) -> Vec<usize> {
    let mut sizes = vec![0; data.cluster.iter().max().unwrap() + 1];
    data.cluster.iter().for_each(|&k| sizes[k] += 1);
    sizes
}

#[test]
fn equal_seeds_give_equal_clusters_and_others_do_not() {
    let options = ClusterOptions { label_noise: 0.1, ..Default::default() };
    let (a, b, c) = (draw(&options, 1), draw(&options, 1), draw(&options, 2));
    let parts: [fn(&Clusters) -> &Dataset; 3] = [|d| &d.train, |d| &d.validation, |d| &d.test];
    for part in parts {
        assert_eq!(rows(part(&a)), rows(part(&b)));
        assert_eq!(part(&a).labels(), part(&b).labels());
        assert_ne!(rows(part(&a)), rows(part(&c)));
    }
    assert_eq!((a.cluster, a.flipped), (b.cluster, b.flipped));
}

#[test]
fn the_shapes_are_those_of_the_options() {
    let data = draw(&ClusterOptions::default(), 3);
    assert_eq!(data.train.inputs().dims(), [4000, 10]);
    assert_eq!(data.validation.inputs().dims(), [100, 10]);
    assert_eq!(data.test.inputs().dims(), [3000, 10]);
    assert_eq!(data.train.inputs().dtype(), DType::F32);
    assert_eq!(data.train.classes(), 5);
    assert_eq!((data.cluster.len(), data.test_cluster.len()), (4000, 3000));
    assert!(data.test.class_counts().iter().all(|&count| count > 0), "every class has clusters");
}

#[test]
fn cluster_sizes_follow_zipf() {
    let data = draw(&ClusterOptions::default(), 4);
    let sizes = sizes(&data);
    assert_eq!((sizes.len(), sizes.iter().sum()), (60, 4000));
    assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes[59] >= 3);
    let total: f64 = (1..=60).map(|rank| f64::from(rank).powf(-1.2)).sum();
    for (k, &size) in sizes.iter().enumerate() {
        let quota = 4000.0 * (k as f64 + 1.0).powf(-1.2) / total;
        assert!((size as f64 - quota).abs() < 1.0, "cluster {k}: {size} for {quota}");
    }
    assert!(!data.cluster.is_sorted(), "points come in random order");
}

#[test]
fn small_clusters_get_three_points() {
    let at = |points, clusters, zipf_exponent| {
        sizes(&draw(&ClusterOptions { points, clusters, zipf_exponent, ..Default::default() }, 5))
    };
    let steep = at(200, 20, 3.0);
    assert_eq!((steep.iter().sum::<usize>(), steep[19]), (200, 3));
    assert!(steep[0] > 100);
    assert_eq!(at(60, 20, 1.2), [3; 20]);
    assert_eq!(at(100, 10, 0.0), [10; 10]);
    assert_eq!(at(1000, 5, 1e6), [988, 3, 3, 3, 3]);
}

#[test]
fn test_points_come_from_all_clusters_alike() {
    let data = draw(&ClusterOptions { test: 6000, ..Default::default() }, 6);
    let mut counts = vec![0; 60];
    data.test_cluster.iter().for_each(|&k| counts[k] += 1);
    // Expected 100 each, deviation about 10.
    assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    // A cluster has one class, and the same in training.
    let mut class = vec![None; 60];
    for (&k, &label) in data.cluster.iter().zip(data.train.labels()) {
        assert_eq!(*class[k].get_or_insert(label), label);
    }
    for (&k, &label) in data.test_cluster.iter().zip(data.test.labels()) {
        assert_eq!(class[k], Some(label));
    }
    // Dealt in turn: 60 clusters over 5 classes.
    for label in 0..5 {
        assert_eq!(class.iter().filter(|&&of| of == Some(label)).count(), 12);
    }
}

#[test]
fn noise_touches_only_training_labels() {
    let clean = draw(&ClusterOptions::default(), 7);
    let noisy = draw(&ClusterOptions { label_noise: 0.25, ..Default::default() }, 7);
    assert_eq!(rows(&clean.train), rows(&noisy.train));
    assert_eq!(rows(&clean.test), rows(&noisy.test));
    assert_eq!(clean.test.labels(), noisy.test.labels());
    assert_eq!(clean.validation.labels(), noisy.validation.labels());
    assert_eq!(noisy.flipped.iter().filter(|&&flipped| flipped).count(), 1000);
    assert!(clean.flipped.iter().all(|&flipped| !flipped));
    for i in 0..4000 {
        assert_eq!(clean.train.labels()[i] != noisy.train.labels()[i], noisy.flipped[i]);
    }
}

#[test]
fn near_duplicates_lie_next_to_an_original_of_their_cluster() {
    let data = draw(&ClusterOptions { near_duplicates: 0.2, ..Default::default() }, 8);
    let points = rows(&data.train);
    let copies = data.duplicate_of.iter().enumerate().filter_map(|(i, of)| Some((i, (*of)?)));
    let copies: Vec<(usize, usize)> = copies.collect();
    assert_eq!(copies.len(), 800);
    for (copy, original) in copies {
        assert_eq!(data.cluster[copy], data.cluster[original]);
        assert_eq!(data.duplicate_of[original], None);
        let distance: f32 =
            points[copy].iter().zip(&points[original]).map(|(a, b)| (a - b).powi(2)).sum();
        // Ten coordinates of deviation 0.01: about 0.03 apart, where clusters are 0.5 wide.
        assert!(distance > 0.0 && distance.sqrt() < 0.1, "{distance}");
    }
    let none = draw(&ClusterOptions { near_duplicates: 0.0, ..Default::default() }, 8);
    assert!(none.duplicate_of.iter().all(Option::is_none));
    let half =
        ClusterOptions { near_duplicates: 0.5, points: 60, clusters: 20, ..Default::default() };
    assert_eq!(draw(&half, 8).duplicate_of.iter().flatten().count(), 30);
}

#[test]
fn spreads_are_those_asked_for() {
    let options = ClusterOptions { clusters: 400, near_duplicates: 0.0, ..Default::default() };
    let data = draw(&ClusterOptions { point_spread: 0.0, ..options }, 9);
    let deviation = |values: Vec<f32>| {
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / n).sqrt()
    };
    let centres = deviation(rows(&data.test).concat());
    assert!((centres - 2.0).abs() < 0.1, "{centres}");
    let data = draw(&ClusterOptions { centre_spread: 0.0, ..options }, 9);
    let points = deviation(rows(&data.train).concat());
    assert!((points - 0.5).abs() < 0.01, "{points}");
}

#[test]
fn bad_cluster_options_are_refused_by_name() {
    let ok = ClusterOptions::default();
    let cases = [
        ("points", ClusterOptions { points: 179, ..ok }),
        ("clusters", ClusterOptions { clusters: 4, ..ok }),
        ("classes", ClusterOptions { classes: 1, ..ok }),
        ("dimensions", ClusterOptions { dimensions: 0, ..ok }),
        ("zipf_exponent", ClusterOptions { zipf_exponent: -1.0, ..ok }),
        ("zipf_exponent", ClusterOptions { zipf_exponent: f64::INFINITY, ..ok }),
        ("centre_spread", ClusterOptions { centre_spread: f64::NAN, ..ok }),
        ("point_spread", ClusterOptions { point_spread: -0.1, ..ok }),
        ("near_duplicates", ClusterOptions { near_duplicates: 0.51, ..ok }),
        ("duplicate_jitter", ClusterOptions { duplicate_jitter: -1.0, ..ok }),
        ("label_noise", ClusterOptions { label_noise: 1.01, ..ok }),
        ("validation", ClusterOptions { validation: 0, ..ok }),
        ("test", ClusterOptions { test: 0, ..ok }),
    ];
    for (name, options) in cases {
        let error = clusters(&options, &mut seeded(0)).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{name}: {error}");
        assert!(error.to_string().starts_with(&format!("ClusterOptions::{name} ")), "{error}");
    }
    let huge = ClusterOptions { centre_spread: 1e300, ..ok };
    assert!(matches!(clusters(&huge, &mut seeded(0)).unwrap_err(), Error::NotFinite { .. }));
}

// CIFAR.

const PIXELS: usize = 3 * 32 * 32;

/// A record whose pixels tell channel, row and column apart.
fn record(labels: &[u8], shift: usize) -> Vec<u8> {
    let pixel = |at: usize| {
        let (channel, row, column) = (at / 1024, at / 32 % 32, at % 32);
        ((channel * 83 + row * 5 + column * 2 + shift) % 256) as u8
    };
    labels.iter().copied().chain((0..PIXELS).map(pixel)).collect()
}

/// CIFAR-10 in `folder`: two records in each training file, three in the test file. Labels count up.
fn write_cifar10(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for file in 0..5u8 {
        let name = format!("data_batch_{}.bin", file + 1);
        let bytes = [record(&[2 * file], usize::from(file)), record(&[2 * file + 1], 100)].concat();
        fs::write(folder.join(name), bytes).unwrap();
    }
    let test: Vec<u8> = [9, 0, 9].iter().flat_map(|&label| record(&[label], 7)).collect();
    fs::write(folder.join("test_batch.bin"), test).unwrap();
    let names: String = (0..10).map(|k| format!("name{k}\n")).collect();
    // The published file ends with an empty line.
    fs::write(folder.join("batches.meta.txt"), names + "\n").unwrap();
}

fn write_cifar100(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("train.bin"), [record(&[19, 99], 0), record(&[3, 42], 1)].concat())
        .unwrap();
    fs::write(folder.join("test.bin"), record(&[0, 7], 2)).unwrap();
    let names = |n: usize| (0..n).map(|k| format!("name{k}\n")).collect::<String>();
    fs::write(folder.join("fine_label_names.txt"), names(100)).unwrap();
    fs::write(folder.join("coarse_label_names.txt"), names(20)).unwrap();
}

fn cifar10() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("cifar-10-batches-bin");
    write_cifar10(&folder);
    (parent, folder)
}

fn load_error(dir: &Path) -> Error {
    cifar::load(dir, &CifarOptions::default()).unwrap_err()
}

#[test]
fn cifar10_loads_from_its_folder_or_the_parent() {
    let (parent, folder) = cifar10();
    for dir in [parent.path(), &folder] {
        let data = cifar::load(dir, &CifarOptions::default()).unwrap();
        assert_eq!(data.train.labels(), (0..10).collect::<Vec<u32>>());
        assert_eq!(data.test.labels(), [9, 0, 9]);
        assert_eq!(data.train.inputs().dims(), [10, 3, 32, 32]);
        assert_eq!(data.train.inputs().dtype(), DType::F32);
        assert_eq!((data.train.classes(), data.test.classes()), (10, 10));
        assert_eq!((data.class_names.len(), data.class_names[3].as_str()), (10, "name3"));
    }
}

#[test]
fn cifar_pixels_keep_channel_row_and_column() {
    let (parent, _) = cifar10();
    let data = cifar::load(parent.path(), &CifarOptions::default()).unwrap();
    let (mean, std) = (Version::Cifar10.channel_mean(), Version::Cifar10.channel_std());
    // Point 4 is the first of the third file, shifted by 2.
    let image = data.train.inputs().get(4).unwrap().to_vec3::<f32>().unwrap();
    for (channel, row, column) in [(0, 0, 0), (0, 0, 31), (0, 31, 0), (1, 4, 9), (2, 30, 17)] {
        let byte = (channel * 83 + row * 5 + column * 2 + 2) % 256;
        let expected = (byte as f32 / 255.0 - mean[channel]) / std[channel];
        let found = image[channel][row][column];
        assert!((found - expected).abs() < 1e-5, "{channel} {row} {column}: {found}, {expected}");
    }
}

#[test]
fn cifar_limits_read_the_first_records() {
    let (parent, folder) = cifar10();
    let load = |train, test| {
        let options = CifarOptions { train, test, ..Default::default() };
        cifar::load(parent.path(), &options)
    };
    let data = load(Some(3), Some(1)).unwrap();
    assert_eq!((data.train.labels(), data.test.labels()), (&[0, 1, 2][..], &[9][..]));
    assert_eq!(load(Some(1000), Some(1000)).unwrap().train.len(), 10);
    let error = load(Some(0), None).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { what: "CifarOptions::train", .. }));
    let error = load(None, Some(0)).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { what: "CifarOptions::test", .. }));

    // A file that is not read is still checked for its size; its labels are not looked at.
    fs::write(folder.join("data_batch_4.bin"), record(&[99], 0)).unwrap();
    assert_eq!(load(Some(2), None).unwrap().train.len(), 2);
    fs::write(folder.join("data_batch_4.bin"), [0; 10]).unwrap();
    assert!(matches!(load(Some(2), None).unwrap_err(), Error::File { .. }));
}

#[test]
fn cifar100_has_two_kinds_of_label() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("cifar-100-binary");
    write_cifar100(&folder);
    for (labels, classes, expected) in
        [(CifarLabels::Coarse, 20, [19, 3]), (CifarLabels::Fine, 100, [99, 42])]
    {
        let version = Version::Cifar100 { labels };
        for dir in [parent.path(), &folder] {
            let options = CifarOptions { version, ..Default::default() };
            let data = cifar::load(dir, &options).unwrap();
            assert_eq!(data.train.labels(), expected);
            assert_eq!((data.train.classes(), data.class_names.len()), (classes, classes));
            // The first pixel byte is 0: the label bytes are not part of the image.
            let first = data.train.inputs().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
            let expected = -version.channel_mean()[0] / version.channel_std()[0];
            assert!((first - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn a_wrong_cifar_folder_is_refused() {
    let (parent, folder) = cifar10();
    let nothing = load_error(&parent.path().join("absent"));
    assert!(matches!(&nothing, Error::File { found, .. } if found == "nothing"), "{nothing}");
    let empty = tempfile::tempdir().unwrap();
    let error = load_error(empty.path());
    assert!(matches!(&error, Error::File { path, .. } if path == empty.path()), "{error}");
    let a_file = load_error(&folder.join("test_batch.bin"));
    assert!(matches!(&a_file, Error::File { found, .. } if found == "a file"), "{a_file}");
    let version = Version::Cifar100 { labels: CifarLabels::Fine };
    let options = CifarOptions { version, ..Default::default() };
    let error = cifar::load(parent.path(), &options).unwrap_err();
    assert!(error.to_string().contains("cifar-100-binary"), "{error}");
}

#[test]
fn a_missing_cifar_file_is_named() {
    for name in ["data_batch_3.bin", "test_batch.bin", "batches.meta.txt"] {
        let (parent, folder) = cifar10();
        fs::remove_file(folder.join(name)).unwrap();
        let error = load_error(parent.path());
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(name)), "{error}");
    }
}

#[test]
fn a_damaged_cifar_file_is_named() {
    let whole = record(&[1], 0);
    let bad_label = [record(&[1], 0), record(&[10], 0)].concat();
    for (name, bytes, found) in [
        ("data_batch_2.bin", &whole[..3000], "3000 bytes"),
        ("data_batch_2.bin", &[], "0 bytes"),
        ("test_batch.bin", &[&whole[..], &[0]].concat(), "3074 bytes"),
        ("data_batch_5.bin", &bad_label, "label 10 in record 1 (the first is 0)"),
        ("batches.meta.txt", b"one\ntwo\n".as_slice(), "2 names"),
    ] {
        let (parent, folder) = cifar10();
        fs::write(folder.join(name), bytes).unwrap();
        match load_error(parent.path()) {
            Error::File { path, found: said, .. } => {
                assert!(path.ends_with(name), "{}", path.display());
                assert_eq!(said, found);
            }
            other => panic!("{name}: {other}"),
        }
    }
}
