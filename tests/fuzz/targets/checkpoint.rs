//! Bytes as a saved state: refused, or saved again they are the same state.

use gleaner::learn::Checkpoint;

use crate::bytes::file;

pub fn run(data: &[u8]) {
    let path = file("state.safetensors", data);
    let Ok(state) = Checkpoint::load(&path) else { return };
    let again = path.with_extension("again");
    state.save(&again).expect("what was loaded can be saved");
    let (first, second) = (state.all(""), Checkpoint::load(&again).unwrap().all(""));
    assert_eq!(first.len(), second.len());
    for ((name, tensor), (other, same)) in first.iter().zip(&second) {
        assert_eq!((name, tensor.dims(), tensor.dtype()), (other, same.dims(), same.dtype()));
    }
    let _ = (state.note::<usize>("epoch"), state.generator("order"));
}
