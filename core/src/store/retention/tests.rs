use super::*;

const THREAD: i64 = 7;

fn row(id: i64, sender: i64) -> Row {
    Row {
        id,
        thread_id: THREAD,
        sender: UserKey(sender),
        receiver: UserKey(3 - sender),
        created: id,
        is_shown: true,
        is_swallowed: false,
        is_left: false,
        deleted: false,
        attachment_path: None,
    }
}

fn ends(low: [i64; 2], high: [i64; 2]) -> Ends {
    Ends {
        id: THREAD,
        low_key: UserKey(1),
        high_key: UserKey(2),
        low_sent: Some(low[0]),
        low_shown: Some(low[1]),
        low_swallowed: None,
        high_sent: Some(high[0]),
        high_shown: Some(high[1]),
        high_swallowed: None,
    }
}

fn sorted(rows: &[Row], ends: Ends) -> (Vec<i64>, Vec<i64>) {
    let sorted = Sorted::of(rows.to_vec(), &[ends]);
    (sorted.left.clone(), sorted.gone_ids())
}

#[test]
fn the_newest_of_each_side_leaves_something() {
    let rows = [row(1, 1), row(2, 2), row(3, 1), row(4, 2)];
    assert_eq!(sorted(&rows, ends([3, 3], [4, 4])), (vec![3, 4], vec![1, 2]));
    // Behind newer ones nothing stays.
    assert_eq!(sorted(&rows, ends([9, 9], [8, 8])), (vec![], vec![1, 2, 3, 4]));
    // Where an older core did not note what was shown, more stays than has to.
    let unknown = Ends { high_shown: None, ..ends([9, 9], [8, 8]) };
    assert_eq!(sorted(&rows, unknown), (vec![2, 4], vec![1, 3]));
    assert_eq!(Sorted::of(rows.to_vec(), &[]).left, [1, 2, 3, 4]);
}

#[test]
fn so_does_the_newest_that_was_shown_and_that_was_not() {
    let held = Row { is_shown: false, ..row(2, 1) };
    let swallowed = Row { is_shown: false, is_swallowed: true, ..row(3, 1) };
    let rows = [row(1, 1), held, swallowed];
    let all = Ends { low_swallowed: Some(3), ..ends([2, 1], [0, 0]) };
    assert_eq!(sorted(&rows, all), (vec![1, 2, 3], vec![]));
    let later = Ends { low_swallowed: Some(3), ..ends([4, 1], [0, 0]) };
    assert_eq!(sorted(&rows, later), (vec![1], vec![2, 3]));
}

#[test]
fn what_was_left_goes_when_there_is_a_newer_one_and_stays_as_it_is_before() {
    let left = Row { is_left: true, ..row(1, 1) };
    let rows = [left, row(2, 1)];
    assert_eq!(sorted(&rows, ends([2, 2], [0, 0])), (vec![2], vec![1]));
    assert_eq!(sorted(&rows[..1], ends([1, 1], [0, 0])), (vec![], vec![]));
}

#[test]
fn files_go_and_the_newest_is_noted_also_of_a_deleted_message() {
    let file = |path: &str| Some(path.to_owned());
    let one = Row { attachment_path: file("one"), ..row(1, 1) };
    let two = Row { attachment_path: file("two"), deleted: true, ..row(2, 1) };
    let sorted = Sorted::of(vec![two, one], &[ends([9, 9], [0, 0])]);
    assert_eq!((sorted.files, sorted.deleted_files), (vec!["one".into()], vec!["two".into()]));
    assert_eq!(sorted.newest_file, Some((2, "two".to_owned())));
}
