//! What one end sends is what the other gets, and whatever else it sends is an error.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use std::{
    fs::File,
    io::{Read, Seek, Write},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Sample {
    Nothing,
    Number { a: u64, b: Option<i32> },
    Bytes(Vec<u8>),
}

const SOON: Duration = Duration::from_secs(20);

fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        Just(Sample::Nothing),
        (any::<u64>(), any::<Option<i32>>()).prop_map(|(a, b)| Sample::Number { a, b }),
        // Some are longer than a socket takes at once.
        prop_oneof![0..64_usize, 400_000..600_000_usize].prop_map(|len| Sample::Bytes(vec![7; len])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn messages_arrive_whole_and_in_order(samples in proptest::collection::vec(sample(), 0..8)) {
        let (here, there) = Channel::pair().unwrap();
        let sent = samples.clone();
        let sender = std::thread::spawn(move || sent.iter().try_for_each(|sample| here.send(sample, &[], SOON)));
        for sample in &samples {
            prop_assert_eq!(&there.receive::<Sample>(SOON).unwrap().0, sample);
        }
        sender.join().unwrap().unwrap();
        prop_assert_eq!(there.receive::<Sample>(SOON).unwrap_err(), ChannelError::Gone);
    }

    #[test]
    fn any_bytes_are_messages_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (here, there) = Channel::pair().unwrap();
        File::from(OwnedFd::from(here)).write_all(&bytes).unwrap();
        // Each message takes four bytes at least, so this ends.
        while there.receive::<Sample>(SOON).is_ok() {}
    }
}

#[test]
fn a_hostile_length_is_refused_before_there_is_room_made_for_it() {
    for len in [MESSAGE_MAX as u32 + 1, u32::MAX] {
        let (here, there) = Channel::pair().unwrap();
        File::from(OwnedFd::from(here)).write_all(&len.to_le_bytes()).unwrap();
        assert_eq!(there.receive::<Sample>(SOON).unwrap_err(), ChannelError::TooLong(len as usize));
    }
}

#[test]
fn what_does_not_come_is_late_what_stays_half_sent_an_error_and_what_is_cut_gone() {
    let (here, there) = Channel::pair().unwrap();
    assert_eq!(there.receive::<Sample>(Duration::ZERO).unwrap_err(), ChannelError::Late);
    here.send(&Sample::Nothing, &[], SOON).unwrap();
    assert_eq!(there.receive::<Sample>(SOON).unwrap().0, Sample::Nothing);
    let mut here = File::from(OwnedFd::from(here));
    here.write_all(&[9, 0, 0, 0, 1]).unwrap();
    assert_eq!(there.receive::<Sample>(SOON).unwrap_err(), ChannelError::Half);
    let (cut, other) = Channel::pair().unwrap();
    File::from(OwnedFd::from(cut)).write_all(&[9, 0, 0, 0, 1]).unwrap();
    assert_eq!(other.receive::<Sample>(SOON).unwrap_err(), ChannelError::Gone);
}

#[test]
fn a_reader_that_takes_nothing_holds_nobody_up_for_ever() {
    let (here, _there) = Channel::pair().unwrap();
    let long = Sample::Bytes(vec![0; MESSAGE_MAX - 16]);
    assert_eq!(here.send(&long, &[], SOON).unwrap_err(), ChannelError::Half);
    // A short one is not begun, so that the channel stays as it is.
    let (here, there) = Channel::pair().unwrap();
    let mut sent = 0;
    while here.send(&Sample::Bytes(vec![0; 1000]), &[], Duration::ZERO).is_ok() {
        sent += 1;
    }
    (0..sent).for_each(|_| assert!(there.receive::<Sample>(SOON).is_ok()));
    here.send(&Sample::Nothing, &[], SOON).unwrap();
    assert_eq!(there.receive::<Sample>(SOON).unwrap().0, Sample::Nothing);
    let longer = Sample::Bytes(vec![0; MESSAGE_MAX]);
    assert!(matches!(here.send(&longer, &[], SOON).unwrap_err(), ChannelError::TooLong(_)));
}

#[test]
fn descriptors_travel_with_their_message() {
    let (here, there) = Channel::pair().unwrap();
    let files: Vec<File> = (0..3).map(|_| tempfile::tempfile().unwrap()).collect();
    let lent: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    here.send(&Sample::Nothing, &[], SOON).unwrap();
    here.send(&Sample::Bytes(vec![1; 5000]), &lent, SOON).unwrap();
    here.send(&Sample::Nothing, &lent[..1], SOON).unwrap();
    assert!(there.receive::<Sample>(SOON).unwrap().1.is_empty());
    let (_, came) = there.receive::<Sample>(SOON).unwrap();
    assert_eq!(there.receive::<Sample>(SOON).unwrap().1.len(), 1);
    for (mut file, copy) in files.iter().zip(came) {
        File::from(copy).write_all(b"same").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "same");
    }
    let many = vec![files[0].as_fd(); DESCRIPTORS_MAX + 1];
    assert_eq!(here.send(&Sample::Nothing, &many, SOON).unwrap_err(), ChannelError::Descriptors);
}
