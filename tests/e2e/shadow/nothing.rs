//! Servers of which neither has what was to be compared.

use netrox_harness::run_test;

use super::{
    faults::{Pair, good},
    stub::{Reply, Stub},
    *,
};

#[tokio::test]
async fn what_both_lack_was_not_compared() {
    run_test(async {
        let lacks = |part: &'static str, reply: Reply| {
            move |path: &str, _: usize| match path.contains(part) {
                true => reply.clone(),
                false => good(path),
            }
        };
        let none = Reply::Json(404, "{}".to_owned());
        let mut pair = Pair::start(lacks("mediafiles", none.clone())).await;
        pair.candidate = Stub::start(lacks("mediafiles", none)).await;
        let (ended, report) = pair.shadow(&[]).await;
        assert_status(&ended, 3);
        assert_eq!((&report["files"], &report["missing_files"]), (&json!(0), &json!(1)));
        assert_eq!(report["no_file_compared"], true, "{report}");
        assert_eq!(report["messages"], 20, "{report}");
        let (ended, _) = pair.shadow(&["--json=false"]).await;
        assert_status(&ended, 3);
        let said = "no file was compared: neither server has any of the 1\n";
        assert!(ended.stdout.contains(said), "{ended:?}");

        let other = Reply::Json(200, json!({ "detail": "canary" }).to_string());
        for part in ["get-user-threads", "messages"] {
            let mut pair = Pair::start(lacks(part, other.clone())).await;
            pair.candidate = Stub::start(lacks(part, other.clone())).await;
            let (ended, report) = pair.shadow(&[]).await;
            assert_status(&ended, 3);
            assert_eq!(report["failures"], 1, "{report}");
            let reason = report["first_failures"][0]["reason"].as_str().unwrap_or_default();
            assert!(reason.starts_with("neither answer has the documented list"), "{report}");
        }
    })
    .await;
}
