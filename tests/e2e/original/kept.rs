//! The way back to an original that has gone on by itself: what it has is not written over.

use netrox_proto::v1::EditMessageRequest;

use super::{
    way_back::{back, fixture},
    *,
};

each![; serve: what_the_original_has_changed_stays];

async fn what_the_original_has_changed_stays(arrangement: Arrangement) {
    let on_postgres = Engine::Postgres(Database::create_on_shared().await);
    for engine in [Engine::Sqlite, on_postgres] {
        let django = Django::on(engine).await;
        talk(&django).await;
        assert_ended(&pass(&django, &INTO).await, 0, "");
        let chat = TestChat::builder(arrangement)
            .set("data-dir", django.path().join("data"))
            .set("edit-window", "unlimited")
            .start()
            .await;
        for id in [30, 41] {
            let edit = EditMessageRequest {
                user_id: ADA.to_owned(),
                message_id: id,
                body: "canary, edited here".to_owned(),
                ..Default::default()
            };
            chat.chat_service().edit_message(edit).await.expect("edited");
        }
        // Later than here; by Django's update(); another message of an id; and one that is gone.
        let (bob, cyd) = (django.id(BOB), django.id(CYD));
        let changes = format!(
            "update chat_message set message = 'canary, later', updated = '2099-01-01 00:00:00'
                where id = 30;
            update chat_message set message = 'canary, by itself' where id = 31;
            update chat_message set thread_id = 5, sender_id = '{bob}', receiver_id = '{cyd}'
                where id = 35;
            delete from chat_message where id = 40"
        );
        django.execute(&changes).await;
        let exported = back(&django, "back", &[]).await;
        let said = "3 messages would have gone over others of the original; all else was exported";
        assert_ended(&exported, 3, said);
        let (ended, told_of) = &exported;
        for line in [
            "warning: 1 messages are not written: the original has other ones of their ids: 35\n",
            "changed their texts since they were imported: 30, 31\n",
            "warning: 1 messages are written again: ",
        ] {
            assert!(ended.stderr.contains(line), "{line:?}: {ended:?}");
        }
        assert!(!ended.stderr.contains("canary"), "{ended:?}");
        let of = |ids: &[i64]| json!({ "count": ids.len(), "first_ids": ids });
        assert_eq!(told_of["other_messages"], of(&[35]), "{told_of}");
        assert_eq!(told_of["newer_messages"], of(&[30, 31]), "{told_of}");
        assert_eq!(told_of["deleted_there"], of(&[40]), "{told_of}");
        assert_counts(
            told_of,
            &[("messages", 1), ("changed_messages", 1), ("only_in_original", 1)],
        );
        let report = fs::read(django.path().join("back/export.json")).expect("a report");
        assert_eq!(serde_json::from_slice::<Value>(&report).expect("JSON"), *told_of);
        let rows = fixture(&django, "back");
        let ids: Vec<_> = rows.iter().map(|row| row["pk"].as_i64()).collect();
        assert_eq!(ids, [Some(40), Some(41)], "{rows:?}");
        // One without a file has what its model has for none.
        assert_eq!(rows[0]["fields"].get("attached_file"), None, "{rows:?}");
        assert_eq!(rows[1]["fields"].get("attached_file"), Some(&Value::Null), "{rows:?}");
    }
}
