//! Bytes as the binary files of CIFAR: a file of whole records with labels that are classes, or an error.

use gleaner::data::cifar::{CifarOptions, load};

use crate::bytes::file;

pub fn run(data: &[u8]) {
    let (test, train) = data.split_at(data.len() / 2);
    for name in 1..6 {
        file(&format!("data_batch_{name}.bin"), train);
    }
    let path = file("test_batch.bin", test);
    let Ok(cifar) = load(path.parent().unwrap(), &CifarOptions::default()) else { return };
    assert_eq!(train.len() % 3073, 0);
    assert!(cifar.train.labels().iter().all(|label| *label < 10));
}
