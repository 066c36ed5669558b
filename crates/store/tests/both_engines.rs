//! What `store` promises, on both engines. PostgreSQL: see [`World::postgres`].

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use portcullis_store::{
    AuditEntry, Claimed, Message, Overwrite, PolicyLogEntry, Sent, SqlBuilder, Store, StoreConfig, StoreError, Tx,
    Value, Write, restore,
};

/// Long enough that something that does not wait would have happened.
const A_WHILE: Duration = Duration::from_millis(150);

macro_rules! on_both_engines {
    ($($(#[$doc:meta])* async fn $name:ident($world:ident: World) $body:block)*) => {
        $($(#[$doc])* async fn $name($world: World) $body)*

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::World::sqlite().await).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::World::postgres().await).await; })*
        }
    };
}

on_both_engines! {
    // SQL and values

    async fn placeholders_are_bound_by_number(world: World) {
        let mut tx = world.store.read().await.unwrap();
        let sql = "SELECT CAST($2 AS TEXT) AS second, CAST($1 AS BIGINT) AS first, CAST($2 AS TEXT) AS again, CAST($3 AS BIGINT) AS third";
        let row = tx.query_one(sql, &[1.into(), "two".into(), 3.into()]).await.unwrap();
        assert_eq!(row.get::<String>("second").unwrap(), "two");
        assert_eq!(row.get::<i64>("first").unwrap(), 1);
        assert_eq!(row.get::<String>("again").unwrap(), "two");
        assert_eq!(row.get::<i64>("third").unwrap(), 3);
    }

    async fn more_than_nine_placeholders_are_bound_by_number(world: World) {
        let mut sql = SqlBuilder::new("SELECT 0");
        for number in 1..=12_i64 {
            sql.push(" + CAST(").bind(number).push(" AS BIGINT) * 1");
        }
        sql.push(" AS total");
        let mut tx = world.store.read().await.unwrap();
        assert_eq!(tx.query_one(sql, &[]).await.unwrap().get::<i64>("total").unwrap(), 78);
        let sql = "SELECT CAST($11 AS BIGINT) AS a, CAST($1 AS BIGINT) + CAST($2 AS BIGINT) + CAST($3 AS BIGINT) + CAST($4 AS BIGINT)
            + CAST($5 AS BIGINT) + CAST($6 AS BIGINT) + CAST($7 AS BIGINT) + CAST($8 AS BIGINT) + CAST($9 AS BIGINT)
            + CAST($10 AS BIGINT) AS b";
        let values: Vec<Value> = (1..=11_i64).map(Value::from).collect();
        let row = tx.query_one(sql, &values).await.unwrap();
        assert_eq!((row.get::<i64>("a").unwrap(), row.get::<i64>("b").unwrap()), (11, 55));
    }

    async fn wrong_number_of_values_is_refused(world: World) {
        for values in [vec![], vec![1.into()], vec![1.into(), 2.into(), 3.into()]] {
            let mut tx = world.store.read().await.unwrap();
            let sql = "SELECT CAST($2 AS BIGINT) AS b, CAST($1 AS BIGINT) AS a";
            let error = tx.query(sql, &values).await.unwrap_err();
            assert!(matches!(error, StoreError::Parameters { expected: 2, .. }), "{values:?}: {error:?}");
        }
        let mut sql = SqlBuilder::new("SELECT CAST(");
        sql.bind(1).push(" AS BIGINT) AS a");
        let mut tx = world.store.read().await.unwrap();
        assert!(matches!(tx.query(sql, &[2.into()]).await, Err(StoreError::Parameters { .. })));
    }

    async fn values_come_back_as_they_went_in(world: World) {
        world.with_things(&[]).await;
        let text = "Grüße, 世界 👩‍👩‍👧 \u{202e}'\"\\%_;--\n\t";
        let bytes: Vec<u8> = (0..=255).collect();
        let mut tx = world.store.write().await.unwrap();
        for (id, name, data) in [
            (i64::MIN, Value::from(text), Value::from(bytes.clone())),
            (i64::MAX, Value::from(""), Value::from(Vec::new())),
            (0, Value::Null, Value::Null),
        ] {
            tx.execute(INSERT_THING, &[id.into(), name.clone(), data.clone()]).await.unwrap();
            let row = tx.query_one("SELECT id, name, data FROM thing WHERE id = $1", &[id.into()]).await.unwrap();
            assert_eq!(row.get::<i64>("id").unwrap(), id);
            assert_eq!(row.get::<Value>("name").unwrap(), name);
            assert_eq!(row.get::<Value>("data").unwrap(), data);
        }
        tx.commit(&entry()).await.unwrap();
    }

    /// SQLite would store it, PostgreSQL cannot.
    async fn text_with_a_nul_is_refused(world: World) {
        world.with_things(&[]).await;
        let mut tx = world.store.write().await.unwrap();
        let error = tx.execute(INSERT_THING, &[1.into(), "a\0b".into(), Value::Null]).await.unwrap_err();
        assert!(matches!(error, StoreError::Bind { number: 2, .. }), "{error:?}");
    }

    async fn order_of_text_and_nulls_is_the_same(world: World) {
        world.with_things(&[(1, Some("a")), (2, Some("B")), (3, None), (4, Some("é")), (5, Some("Z")), (6, Some("ab"))]).await;
        let mut tx = world.store.read().await.unwrap();
        let mut ids = async |sql: &'static str| -> Vec<i64> {
            tx.query(sql, &[]).await.unwrap().iter().map(|row| row.get("id").unwrap()).collect()
        };
        assert_eq!(ids("SELECT id FROM thing ORDER BY name {{c}} NULLS LAST").await, [2, 5, 1, 6, 4, 3]);
        assert_eq!(ids("SELECT id FROM thing ORDER BY name {{c}} DESC NULLS FIRST").await, [3, 4, 6, 1, 5, 2]);
        assert_eq!(ids("SELECT id FROM thing WHERE name {{c}} < 'a' ORDER BY id").await, [2, 5]);
        // Twice: from the cache of rewritten texts.
        assert_eq!(ids("SELECT id FROM thing ORDER BY name {{c}} NULLS LAST").await, [2, 5, 1, 6, 4, 3]);
    }

    async fn built_sql_finds_what_constants_find(world: World) {
        world.with_things(&[(1, Some("x")), (2, Some("y")), (3, Some("x"))]).await;
        let mut tx = world.store.read().await.unwrap();
        let mut sql = SqlBuilder::new("SELECT id FROM thing WHERE id IN ");
        sql.ids(&[3, 1, 99]).push(" AND name = ").bind("x").push(" ORDER BY name {{c}}, id LIMIT ").bind(10_usize);
        let rows = tx.query(sql, &[]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get("id").unwrap()).collect::<Vec<i64>>(), [1, 3]);

        for negation in ["", "NOT "] {
            let mut sql = SqlBuilder::new("SELECT id FROM thing WHERE id ");
            sql.push(negation).push("IN ").ids(&[]);
            assert!(tx.query(sql, &[]).await.unwrap().is_empty(), "{negation}");
        }
    }

    async fn sums_counts_and_comparisons_are_integers(world: World) {
        world.with_things(&[(1, Some("x")), (20_000, Some("yy")), (-5, None)]).await;
        let mut tx = world.store.read().await.unwrap();
        let sql = "SELECT count(*) AS n, sum(id) AS total, max(length(name)) AS longest, count(*) > 1 AS many FROM thing";
        let row = tx.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<i64>("n").unwrap(), 3);
        assert_eq!(row.get::<i64>("total").unwrap(), 19_996);
        assert_eq!(row.get::<i64>("longest").unwrap(), 2);
        assert!(row.get::<bool>("many").unwrap());
        for (total, found) in [(0_i64, true), (19_995, true), (19_996, false), (-7, true), (100_000_000, false)] {
            let sql = "SELECT total FROM (SELECT sum(id) AS total FROM thing) AS sums WHERE total > $1";
            assert_eq!(tx.query_opt(sql, &[total.into()]).await.unwrap().is_some(), found, "{total}");
        }
        let sql = "SELECT id FROM thing WHERE length(name) = $1";
        assert_eq!(tx.query_one(sql, &[2.into()]).await.unwrap().get::<i64>("id").unwrap(), 20_000);
    }

    async fn whole_numbers_survive_a_sum(world: World) {
        for id in [0, 1, -1, 9_999, 10_000, -10_000, 100_000_000, 1_000_000_010_000, i64::MAX, i64::MIN] {
            world.with_things(&[(id, None)]).await;
            let mut tx = world.store.write().await.unwrap();
            assert_eq!(tx.query_one("SELECT sum(id) AS total FROM thing", &[]).await.unwrap().get::<i64>("total").unwrap(), id);
            tx.execute("DROP TABLE thing", &[]).await.unwrap();
            tx.commit(&entry()).await.unwrap();
        }
    }

    async fn rows_are_read_by_name_and_type(world: World) {
        let mut tx = world.store.read().await.unwrap();
        let row = tx.query_one("SELECT 7 AS seven, 'x' AS x, CAST(NULL AS TEXT) AS missing", &[]).await.unwrap();
        assert_eq!(row.get::<Option<String>>("missing").unwrap(), None);
        assert_eq!(row.get::<Option<i64>>("seven").unwrap(), Some(7));
        for error in [
            row.get::<i64>("absent").unwrap_err(),
            row.get::<String>("seven").unwrap_err(),
            row.get::<i64>("x").unwrap_err(),
            row.get::<bool>("seven").unwrap_err(),
            row.get::<String>("missing").unwrap_err(),
            row.get::<Vec<u8>>("x").unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Column { .. }), "{error:?}");
        }
    }

    async fn number_of_rows_is_checked(world: World) {
        world.with_things(&[(1, None), (2, None)]).await;
        let mut tx = world.store.read().await.unwrap();
        let by_id = "SELECT id FROM thing WHERE id = $1";
        assert!(matches!(tx.query_one(by_id, &[9.into()]).await, Err(StoreError::NoRow)));
        assert!(tx.query_opt(by_id, &[9.into()]).await.unwrap().is_none());
        assert!(matches!(tx.query_one("SELECT id FROM thing", &[]).await, Err(StoreError::TooManyRows)));
        assert!(matches!(tx.query_opt("SELECT id FROM thing", &[]).await, Err(StoreError::TooManyRows)));
        // None of these ends the transaction.
        assert!(tx.query_opt(by_id, &[1.into()]).await.unwrap().is_some());
        tx.finish().await.unwrap();
    }

    async fn changed_rows_are_counted(world: World) {
        world.with_things(&[(1, None), (2, None), (3, None)]).await;
        let mut tx = world.store.write().await.unwrap();
        assert_eq!(tx.execute("UPDATE thing SET name = 'x' WHERE id > $1", &[1.into()]).await.unwrap(), 2);
        assert_eq!(tx.execute("UPDATE thing SET name = 'x' WHERE id > $1", &[9.into()]).await.unwrap(), 0);
        assert_eq!(tx.execute("DELETE FROM thing WHERE id > $1 RETURNING id", &[2.into()]).await.unwrap(), 1);
        let row = tx.query_one("INSERT INTO thing (id) VALUES ($1) RETURNING id", &[7.into()]).await.unwrap();
        assert_eq!(row.get::<i64>("id").unwrap(), 7);
    }

    // Transactions

    async fn committed_work_is_there_with_its_audit_entry(world: World) {
        world.with_things(&[]).await;
        let wanted = AuditEntry {
            id: "e1".into(), at_ms: 5, request_id: "r".into(), subject: "user:1".into(), on_behalf_of: Some("user:2".into()),
            credential_id: Some("c".into()), access_kind: "oauth".into(), operation: "edit".into(), target: Some("t".into()),
            outcome: "allowed".into(), reason: Some("why".into()), trace: Some("{}".into()), revision: 3, before: Some("b".into()),
            after: Some("a".into()), remote_address: Some("::1".into()),
        };
        let mut tx = world.store.write().await.unwrap();
        tx.execute(INSERT_THING, &[1.into(), "x".into(), Value::Null]).await.unwrap();
        tx.append_audit(&entry()).await.unwrap();
        tx.commit(&wanted).await.unwrap();

        let mut tx = world.store.read().await.unwrap();
        assert_eq!(tx.query("SELECT id FROM thing", &[]).await.unwrap().len(), 1);
        let row = tx.query_one("SELECT * FROM audit_entry WHERE id = $1", &["e1".into()]).await.unwrap();
        assert_eq!(row.get::<i64>("at_ms").unwrap(), 5);
        for (column, value) in [
            ("request_id", "r"), ("subject", "user:1"), ("on_behalf_of", "user:2"), ("credential_id", "c"), ("access_kind", "oauth"),
            ("operation", "edit"), ("target", "t"), ("outcome", "allowed"), ("reason", "why"), ("trace", "{}"),
            ("before_summary", "b"), ("after_summary", "a"), ("remote_address", "::1"),
        ] {
            assert_eq!(row.get::<String>(column).unwrap(), value, "{column}");
        }
        assert_eq!(row.get::<i64>("revision").unwrap(), 3);
    }

    async fn batch_of_audit_entries_is_stored(world: World) {
        let before = world.count("audit_entry").await;
        world.store.append_audit_batch(&[]).await.unwrap();
        world.store.append_audit_batch(&[entry(), entry(), entry()]).await.unwrap();
        assert_eq!(world.count("audit_entry").await, before + 3);
        let twice = entry();
        assert!(world.store.append_audit_batch(&[entry(), twice.clone(), twice]).await.is_err());
        assert_eq!(world.count("audit_entry").await, before + 3);
    }

    async fn a_message_is_leased_settled_and_forgotten(world: World) {
        let store = &world.store;
        let message = |identifier: &str, owner: &str| Message {
            identifier: identifier.into(), owner: owner.into(), target: 7, head: "{}".into(), body: "the same".into(),
            delay_ms: 0,
        };
        let mut tx = store.write().await.unwrap();
        tx.enqueue(&[message("a", "one"), message("b", "one"), message("c", "two")], 1_000).await.unwrap();
        tx.commit(&entry()).await.unwrap();
        assert_eq!(world.count("store_outbox_body").await, 1);
        let names = |claimed: &[Claimed]| claimed.iter().map(|it| it.message.identifier.clone()).collect::<Vec<_>>();
        assert!(store.claim_messages(999, 2_000, 10, &[]).await.unwrap().is_empty(), "not due yet");
        assert_eq!(names(&store.claim_messages(1_000, 2_000, 10, &["one".to_owned()]).await.unwrap()), ["c"]);
        let claimed = store.claim_messages(1_000, 2_000, 1, &[]).await.unwrap();
        assert_eq!((names(&claimed), &*claimed[0].message.body), (vec!["a".to_owned()], "the same"));
        let rest = store.claim_messages(1_000, 2_000, 10, &[]).await.unwrap();
        assert_eq!(names(&rest), ["b"], "what is leased is nobody else's");
        assert_eq!(names(&store.claim_messages(2_000, 3_000, 10, &[]).await.unwrap()), ["a", "b", "c"], "until its lease ends");
        let sent = |id, delivered, due_at_ms| Sent { id, delivered, due_at_ms, note: "n".into(), head: None };
        let (a, b) = (claimed[0].id, rest[0].id);
        store.settle_messages(&[sent(a, true, None), sent(b, false, Some(5_000))], 2_500).await.unwrap();
        let again = store.claim_messages(5_000, 6_000, 10, &["two".to_owned()]).await.unwrap();
        assert_eq!((names(&again), again[0].attempts), (vec!["b".to_owned()], 1));
        store.renew_message(b, 9_000).await.unwrap();
        store.renew_message(a, 9_000).await.unwrap();
        let due = store.claim_messages(6_000, 6_001, 10, &[]).await.unwrap();
        assert_eq!(names(&due), ["c"], "an attempt that takes long keeps its message, and what was delivered stays so");
        store.release_messages().await.unwrap();
        assert_eq!(names(&store.claim_messages(5_000, 6_000, 10, &[]).await.unwrap()), ["b", "c"]);
        // Delivered, again because somebody asks for it, and forgotten.
        let mut tx = store.write().await.unwrap();
        assert!(!tx.requeue(a, "two", 6_000).await.unwrap() && tx.requeue(a, "one", 6_000).await.unwrap());
        assert!(!tx.requeue(a, "one", 6_000).await.unwrap(), "it is under way");
        tx.commit(&entry()).await.unwrap();
        store.settle_messages(&[sent(a, true, None), sent(b, true, None)], 7_000).await.unwrap();
        store.forget_settled_messages(0, 1).await.unwrap();
        assert_eq!(world.count("store_outbox").await, 2, "of delivered ones the newest is kept");
        store.forget_settled_messages(8_000, 1).await.unwrap();
        assert_eq!(world.count("store_outbox").await, 1, "what is due is never forgotten");
        let mut tx = store.write().await.unwrap();
        tx.forget_messages("two").await.unwrap();
        tx.commit(&entry()).await.unwrap();
        assert_eq!((world.count("store_outbox").await, world.count("store_outbox_body").await), (0, 0));
        // Undone with its change.
        let mut tx = store.write().await.unwrap();
        tx.enqueue(&[message("d", "one")], 1_000).await.unwrap();
        drop(tx);
        assert!(store.claim_messages(9_000, 9_999, 10, &[]).await.unwrap().is_empty());
    }

    async fn dropped_transaction_leaves_nothing(world: World) {
        world.with_things(&[]).await;
        // More often than there are connections: they come back, and come back clean.
        for id in 0..40 {
            let mut tx = world.store.write().await.unwrap();
            tx.execute(INSERT_THING, &[id.into(), Value::Null, Value::Null]).await.unwrap();
            drop(tx);
            let mut tx = world.store.policy().await.unwrap();
            tx.execute(INSERT_THING, &[id.into(), Value::Null, Value::Null]).await.unwrap();
            drop(tx);
            drop(world.store.read().await.unwrap());
        }
        assert_eq!(world.count("thing").await, 0);
        assert_eq!(world.store.read().await.unwrap().revision(), 0);
    }

    /// PostgreSQL would answer a commit after a failure with a silent rollback.
    async fn failed_statement_ends_the_transaction(world: World) {
        world.with_things(&[(1, None)]).await;
        let mut tx = world.store.write().await.unwrap();
        tx.execute(INSERT_THING, &[2.into(), Value::Null, Value::Null]).await.unwrap();
        tx.execute(INSERT_THING, &[1.into(), Value::Null, Value::Null]).await.unwrap_err();
        assert!(matches!(tx.query("SELECT id FROM thing", &[]).await, Err(StoreError::Aborted)));
        assert!(matches!(tx.commit(&entry()).await, Err(StoreError::Aborted)));
        assert_eq!(world.count("thing").await, 1);

        let mut tx = world.store.policy().await.unwrap();
        tx.execute("INSERT INTO nowhere (id) VALUES (1)", &[]).await.unwrap_err();
        assert!(matches!(tx.commit(&entry(), &[]).await, Err(StoreError::Aborted)));
        assert_eq!(world.store.read().await.unwrap().revision(), 0);
    }

    async fn violated_constraints_have_names(world: World) {
        let mut tx = world.store.write().await.unwrap();
        for sql in [
            "CREATE TABLE parent (id BIGINT NOT NULL PRIMARY KEY, a BIGINT, b BIGINT NOT NULL, CHECK (b > 0))",
            "CREATE UNIQUE INDEX parent_a_b ON parent (a, b) WHERE b < 100",
            "CREATE TABLE child (id BIGINT NOT NULL PRIMARY KEY, parent_id BIGINT NOT NULL REFERENCES parent (id), name TEXT)",
            "CREATE UNIQUE INDEX child_name ON child (lower(name))",
            "INSERT INTO parent (id, a, b) VALUES (1, 1, 1)",
            "INSERT INTO child (id, parent_id, name) VALUES (1, 1, 'X')",
        ] {
            tx.execute(sql, &[]).await.unwrap();
        }
        tx.commit(&entry()).await.unwrap();
        let attempt = async |sql: &'static str| world.store.write().await.unwrap().execute(sql, &[]).await.unwrap_err();
        let unique = |error| match error {
            StoreError::Unique { constraint } => constraint,
            other => panic!("{other:?}"),
        };
        assert_eq!(unique(attempt("INSERT INTO parent (id, a, b) VALUES (1, 2, 2)").await), "parent.id");
        assert_eq!(unique(attempt("INSERT INTO parent (id, a, b) VALUES (2, 1, 1)").await), "parent.a, parent.b");
        assert_eq!(unique(attempt("INSERT INTO child (id, parent_id, name) VALUES (2, 1, 'x')").await), "index 'child_name'");
        let error = attempt("INSERT INTO child (id, parent_id) VALUES (2, 9)").await;
        assert!(matches!(error, StoreError::ForeignKey), "{error:?}");
        let error = attempt("DELETE FROM parent").await;
        assert!(matches!(error, StoreError::ForeignKey), "{error:?}");
        for sql in ["INSERT INTO parent (id, b) VALUES (3, 0)", "INSERT INTO parent (id) VALUES (3)"] {
            let error = attempt(sql).await;
            assert!(matches!(error, StoreError::Constraint { .. }), "{sql}: {error:?}");
        }
    }

    async fn reading_transaction_sees_one_state(world: World) {
        world.with_things(&[(1, None)]).await;
        let mut reading = world.store.read().await.unwrap();
        world.insert(2).await;
        world.change_policy("user", "1").await;
        assert_eq!(reading.query("SELECT id FROM thing", &[]).await.unwrap().len(), 1);
        assert_eq!(reading.revision(), 0);
        reading.finish().await.unwrap();
        assert_eq!(world.count("thing").await, 2);
        assert_eq!(world.store.read().await.unwrap().revision(), 1);
    }

    async fn reading_transaction_cannot_write(world: World) {
        world.with_things(&[]).await;
        let mut tx = world.store.read().await.unwrap();
        tx.query("INSERT INTO thing (id) VALUES (1) RETURNING id", &[]).await.unwrap_err();
        drop(tx);
        assert_eq!(world.count("thing").await, 0);
    }

    async fn concurrent_writers_lose_no_update(world: World) {
        world.with_things(&[(0, None)]).await;
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let store = world.store.clone();
            writers.spawn(async move {
                for _ in 0..10 {
                    while let Err(error) = increment(&store).await {
                        assert!(matches!(error, StoreError::Conflict), "{error:?}");
                    }
                }
            });
        }
        writers.join_all().await;
        let mut tx = world.store.read().await.unwrap();
        assert_eq!(tx.query_one("SELECT id FROM thing", &[]).await.unwrap().get::<i64>("id").unwrap(), 80);
    }

    async fn one_of_many_rolls_back_alone(world: World) {
        world.with_things(&[(0, None)]).await;
        let mut writers = tokio::task::JoinSet::new();
        for id in 1..=60_i64 {
            let store = world.store.clone();
            writers.spawn(async move {
                let mut tx = store.write().await.unwrap();
                tx.execute(INSERT_THING, &[id.into(), Value::Null, Value::Null]).await.unwrap();
                match id % 3 {
                    0 => drop(tx),
                    1 => {
                        tx.execute(INSERT_THING, &[0.into(), Value::Null, Value::Null]).await.unwrap_err();
                        tx.commit(&entry()).await.unwrap_err();
                    }
                    _ => commit(tx).await,
                }
            });
        }
        writers.join_all().await;
        let mut tx = world.store.read().await.unwrap();
        let ids: Vec<i64> = tx.query("SELECT id FROM thing ORDER BY id", &[]).await.unwrap().iter().map(|row| row.get("id").unwrap()).collect();
        assert_eq!(ids, (0..=60).filter(|id| *id == 0 || id % 3 == 2).collect::<Vec<i64>>());
    }

    // Policy

    async fn policy_commit_raises_the_head_and_logs(world: World) {
        let changes = [("user", "7"), ("group", "x"), ("user", "7")].map(|(kind, id)| PolicyLogEntry { kind, id: id.into() });
        let tx = world.store.policy().await.unwrap();
        assert_eq!(tx.revision(), 0);
        assert_eq!(tx.commit(&entry(), &changes).await.unwrap(), 1);
        assert_eq!(world.change_policy("rule", "z").await, 2);
        // An ordinary write does not raise it.
        commit(world.store.write().await.unwrap()).await;

        let mut tx = world.store.read().await.unwrap();
        assert_eq!(tx.revision(), 2);
        let sql = "SELECT revision, kind, id FROM policy_log WHERE revision > $1 ORDER BY revision, kind {{c}}, id {{c}}";
        let log: Vec<(i64, String, String)> = tx.query(sql, &[0.into()]).await.unwrap().iter()
            .map(|row| (row.get("revision").unwrap(), row.get("kind").unwrap(), row.get("id").unwrap())).collect();
        let wanted = [(1, "group", "x"), (1, "user", "7"), (2, "rule", "z")].map(|(at, kind, id)| (at, kind.to_owned(), id.to_owned()));
        assert_eq!(log, wanted);
    }

    async fn concurrent_policy_changes_have_gapless_revisions(world: World) {
        let mut changes = tokio::task::JoinSet::new();
        for number in 0..12 {
            let store = world.store.clone();
            changes.spawn(async move {
                let tx = store.policy().await.unwrap();
                let opened_at = tx.revision();
                let revision = tx.commit(&entry(), &[PolicyLogEntry { kind: "user", id: number.to_string() }]).await.unwrap();
                assert_eq!(revision, opened_at + 1);
                revision
            });
        }
        let revisions: BTreeSet<i64> = changes.join_all().await.into_iter().collect();
        assert_eq!(revisions, (1..=12).collect());
    }

    async fn policy_change_waits_for_an_open_write(world: World) {
        world.with_things(&[]).await;
        let mut writing = world.store.write().await.unwrap();
        writing.execute(INSERT_THING, &[1.into(), Value::Null, Value::Null]).await.unwrap();
        let store = world.store.clone();
        let mut changing = tokio::spawn(async move {
            let mut tx = store.policy().await.unwrap();
            let seen = tx.query("SELECT id FROM thing", &[]).await.unwrap().len();
            tx.commit(&entry(), &[]).await.unwrap();
            seen
        });
        assert!(tokio::time::timeout(A_WHILE, &mut changing).await.is_err(), "the change did not wait");
        commit(writing).await;
        assert_eq!(changing.await.unwrap(), 1, "the change does not see the write it waited for");
    }

    async fn write_behind_a_policy_change_sees_its_revision(world: World) {
        let changing = world.store.policy().await.unwrap();
        let store = world.store.clone();
        let mut writing = tokio::spawn(async move {
            let tx = store.write().await.unwrap();
            let revision = tx.revision();
            commit(tx).await;
            revision
        });
        assert!(tokio::time::timeout(A_WHILE, &mut writing).await.is_err(), "the write did not wait");
        // Reading is never held up.
        assert_eq!(world.store.read().await.unwrap().revision(), 0);
        changing.commit(&entry(), &[]).await.unwrap();
        assert_eq!(writing.await.unwrap(), 1);
    }

    async fn publication_follows_the_commit(world: World) {
        let published = AtomicI64::new(0);
        let tx = world.store.policy().await.unwrap();
        assert_eq!(tx.commit_publishing(&entry(), &[], |revision| published.store(revision, SeqCst)).await.unwrap(), 1);
        assert_eq!(published.load(SeqCst), 1);

        let mut tx = world.store.policy().await.unwrap();
        tx.query("SELECT nonsense", &[]).await.unwrap_err();
        tx.commit_publishing(&entry(), &[], |revision| published.store(revision, SeqCst)).await.unwrap_err();
        assert_eq!(published.load(SeqCst), 1, "published what was not committed");
    }

    async fn wait_at_the_gate_ends(world: World) {
        let writing = world.store.write().await.unwrap();
        let started = std::time::Instant::now();
        assert!(matches!(world.store.policy().await, Err(StoreError::Busy)));
        assert!((4..10).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        commit(writing).await;
        assert_eq!(world.change_policy("user", "1").await, 1);
    }

    // Audit and schema

    async fn audit_entries_cannot_be_changed(world: World) {
        world.store.append_audit_batch(&[entry()]).await.unwrap();
        let before = world.count("audit_entry").await;
        for sql in [
            "UPDATE audit_entry SET subject = 'other'",
            "DELETE FROM audit_entry",
            "INSERT INTO audit_entry SELECT * FROM audit_entry WHERE true ON CONFLICT (id) DO UPDATE SET subject = 'other'",
        ] {
            let error = world.store.write().await.unwrap().execute(sql, &[]).await.unwrap_err();
            assert!(matches!(error, StoreError::Refused { .. }), "{sql}: {error:?}");
        }
        let other = if world.store.is_embedded() { "REPLACE INTO audit_entry SELECT * FROM audit_entry" } else { "TRUNCATE audit_entry CASCADE" };
        let error = world.store.write().await.unwrap().execute(other, &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{other}: {error:?}");
        assert_eq!(world.count("audit_entry").await, before);
    }

    async fn seals_are_numbered_and_kept(world: World) {
        world.store.append_audit_batch(&[AuditEntry { id: "sealed".into(), ..entry() }]).await.unwrap();
        let seal = "INSERT INTO audit_seal (sequence, entry_id, chain_hash) VALUES ($1, $2, $3)";
        let mut tx = world.store.write().await.unwrap();
        tx.execute(seal, &[1.into(), "sealed".into(), vec![1_u8, 2].into()]).await.unwrap();
        commit(tx).await;
        let error = world.store.write().await.unwrap().execute(seal, &[2.into(), "absent".into(), vec![0_u8].into()]).await.unwrap_err();
        assert!(matches!(error, StoreError::ForeignKey), "{error:?}");
        let error = world.store.write().await.unwrap().execute("DELETE FROM audit_seal", &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }

    async fn audit_entry_with_a_nul_is_kept(world: World) {
        let hostile = AuditEntry { id: "nul".into(), target: Some("a\0b".into()), reason: Some("\0".into()), ..entry() };
        world.store.append_audit_batch(&[hostile]).await.unwrap();
        let mut tx = world.store.read().await.unwrap();
        let row = tx.query_one("SELECT target FROM audit_entry WHERE id = 'nul'", &[]).await.unwrap();
        assert_eq!(row.get::<String>("target").unwrap(), "a\u{fffd}b");
    }

    async fn readers_beyond_the_bound_wait(world: World) {
        let mut readers = Vec::new();
        for _ in 0..16 {
            readers.push(world.store.read().await.unwrap());
        }
        let store = world.store.clone();
        let mut next = tokio::spawn(async move { store.ping().await });
        assert!(tokio::time::timeout(A_WHILE, &mut next).await.is_err());
        readers.pop();
        next.await.unwrap().unwrap();
    }

    async fn store_opens_again_with_its_data(world: World) {
        world.with_things(&[(1, Some("kept"))]).await;
        let migrated = world.count("store_migration").await;
        let world = world.reopened().await.unwrap();
        assert_eq!(world.count("thing").await, 1);
        assert_eq!(world.count("store_migration").await, migrated);
        world.store.ping().await.unwrap();
    }

    async fn newer_schema_is_refused(world: World) {
        let mut tx = world.store.write().await.unwrap();
        tx.execute("INSERT INTO store_migration (version, name, applied_at_ms) VALUES (9999, 'future', 0)", &[]).await.unwrap();
        commit(tx).await;
        let error = world.reopened().await.err().unwrap();
        assert!(matches!(error, StoreError::NewerSchema { found: 9999, known } if known < 9999), "{error:?}");
    }

    async fn schema_of_another_build_is_refused(world: World) {
        let mut tx = world.store.write().await.unwrap();
        tx.execute("UPDATE store_migration SET name = 'other' WHERE version = 1", &[]).await.unwrap();
        commit(tx).await;
        let error = world.reopened().await.err().unwrap();
        assert!(matches!(error, StoreError::MigrationMismatch { version: 1 }), "{error:?}");
    }

    async fn futures_can_move_between_threads(world: World) {
        fn is_send<T: Send>(value: T) -> T { value }
        fn is_sync<T: Sync>(_: &T) {}
        is_sync(&world.store);
        let tx = is_send(world.store.read()).await.unwrap();
        is_sync(&tx);
        is_send(tx.finish()).await.unwrap();
        let mut tx = is_send(world.store.policy()).await.unwrap();
        is_send(tx.query("SELECT 1 AS one", &[])).await.unwrap();
        is_send(tx.query_one(SqlBuilder::new("SELECT 1 AS one"), &[])).await.unwrap();
        is_send(tx.execute("UPDATE policy_head SET revision = revision", &[])).await.unwrap();
        is_send(tx.commit_publishing(&entry(), &[], |_| ())).await.unwrap();
        is_send(is_send(world.store.write()).await.unwrap().commit(&entry())).await.unwrap();
        is_send(world.store.append_audit_batch(&[entry()])).await.unwrap();
    }
}

// SQLite only

#[test]
fn one_thread_is_enough() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::sqlite().await;
        world.with_things(&[]).await;
        let tasks: Vec<_> = (0..20)
            .map(|id| {
                let store = world.store.clone();
                tokio::spawn(async move {
                    let mut tx = store.write().await.unwrap();
                    tx.execute(INSERT_THING, &[id.into(), Value::Null, Value::Null]).await.unwrap();
                    commit(tx).await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(world.change_policy("user", "1").await, 1);
        assert_eq!(world.count("thing").await, 20);
    });
}

/// Between the commit and the publication nobody else holds the writer lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publication_precedes_the_next_writer() {
    let world = World::sqlite().await;
    for round in 1..=20 {
        let published = Arc::new(AtomicBool::new(false));
        let tx = world.store.policy().await.unwrap();
        let (store, seen) = (world.store.clone(), published.clone());
        let next = tokio::spawn(async move {
            let tx = store.write().await.unwrap();
            (tx.revision(), seen.load(SeqCst))
        });
        let publish = |_| {
            (0..1_000).for_each(|_| std::thread::yield_now()); // a slow publication is waited for
            published.store(true, SeqCst);
        };
        tx.commit_publishing(&entry(), &[], publish).await.unwrap();
        let (revision, was_published) = next.await.unwrap();
        assert!(revision < round || was_published, "a write at revision {revision} began before its publication");
    }
}

#[tokio::test]
async fn second_opening_is_refused_while_the_first_lasts() {
    let world = World::sqlite().await;
    let tx = world.store.read().await.unwrap();
    let error = Store::open(&world.config).await.err().unwrap();
    assert!(matches!(&error, StoreError::Locked { path } if path.ends_with("data.db.lock")), "{error:?}");
    drop(world.store);
    // A transaction in progress keeps it open too.
    assert!(matches!(Store::open(&world.config).await, Err(StoreError::Locked { .. })));
    drop(tx);
    Store::open(&world.config).await.unwrap();
}

#[tokio::test]
async fn other_files_are_not_taken_for_ours() {
    let dir = Dir::new();
    let path = dir.0.join("text.db");
    fs::write(&path, "this is not a database, it is a text that is long enough to be one ".repeat(20)).unwrap();
    let error = Store::open(&StoreConfig::Sqlite { path: path.clone() }).await.err().unwrap();
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
    assert!(fs::read_to_string(&path).unwrap().starts_with("this is not"));

    let path = dir.0.join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a); PRAGMA application_id = 5").unwrap();
    let error = Store::open(&StoreConfig::Sqlite { path }).await.err().unwrap();
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
}

#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::sqlite().await;
    world.insert_audit().await;
    world.store.backup(&world.dir.0.join("backup.db")).await.unwrap();
    for name in ["data.db", "data.db-wal", "data.db.lock", "backup.db"] {
        let mode = fs::metadata(world.dir.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_taken_while_writing_can_be_restored() {
    let world = World::sqlite().await;
    world.with_things(&[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (store, stopped) = (world.store.clone(), stop.clone());
    // Each transaction inserts two rows: a consistent copy holds an even number.
    let writing = tokio::spawn(async move {
        let mut id = 0;
        while !stopped.load(SeqCst) {
            let mut tx = store.write().await.unwrap();
            for _ in 0..2 {
                id += 1;
                tx.execute(INSERT_THING, &[id.into(), "x".repeat(500).into(), Value::Null]).await.unwrap();
            }
            commit(tx).await;
        }
    });
    while world.count("thing").await < 100 {
        tokio::task::yield_now().await;
    }
    let itself = world.store.backup(&world.dir.0.join("data.db")).await;
    assert!(matches!(itself, Err(StoreError::Exists { .. })));
    let backup = world.dir.0.join("backup.db");
    for _ in 0..5 {
        world.store.backup(&backup).await.unwrap();
    }
    let at_backup = world.count("thing").await;
    stop.store(true, SeqCst);
    writing.await.unwrap();

    let to = world.dir.0.join("restored.db");
    restore(&backup, &to, Overwrite::No).unwrap();
    let store = Store::open(&StoreConfig::Sqlite { path: to }).await.unwrap();
    let restored = count(&store, "SELECT count(*) AS n FROM thing").await;
    assert!(restored >= 100 && restored <= at_backup + 2 && restored % 2 == 0, "{restored}");
    assert!(fs::read_dir(&world.dir.0).unwrap().all(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        !name.contains("unfinished") && !name.contains("restoring")
    }));
}

#[tokio::test]
async fn restore_replaces_only_when_told_and_keeps_the_old() {
    let world = World::sqlite().await;
    world.with_things(&[(1, None)]).await;
    let (path, backup) = (world.dir.0.join("data.db"), world.dir.0.join("backup.db"));
    world.store.backup(&backup).await.unwrap();
    world.insert(2).await;

    assert!(matches!(restore(&backup, &path, Overwrite::Yes), Err(StoreError::Locked { .. })));
    let World { store, config, dir } = world;
    drop(store);
    assert!(matches!(restore(&backup, &path, Overwrite::No), Err(StoreError::Exists { .. })));
    restore(&backup, &path, Overwrite::Yes).unwrap();
    let store = Store::open(&config).await.unwrap();
    assert_eq!(count(&store, "SELECT count(*) AS n FROM thing").await, 1);
    drop(store);
    // The database set aside is whole.
    let store = Store::open(&StoreConfig::Sqlite { path: dir.0.join("data.db.replaced") }).await.unwrap();
    assert_eq!(count(&store, "SELECT count(*) AS n FROM thing").await, 2);
}

#[tokio::test]
async fn unsound_backups_are_refused() {
    let world = World::sqlite().await;
    world.with_things(&[]).await;
    let mut tx = world.store.write().await.unwrap();
    for id in 0..200_i64 {
        tx.execute(INSERT_THING, &[id.into(), "y".repeat(300).into(), Value::Null]).await.unwrap();
    }
    commit(tx).await;
    let good = world.dir.0.join("good.db");
    world.store.backup(&good).await.unwrap();
    let bytes = fs::read(&good).unwrap();
    let to = world.dir.0.join("to.db");
    let attempt = |name: &str, bytes: &[u8]| {
        let path = world.dir.0.join(name);
        fs::write(&path, bytes).unwrap();
        restore(&path, &to, Overwrite::No).unwrap_err()
    };
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0xAA);
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("text", b"hello".repeat(1000)),
        ("short", bytes[..bytes.len() - 8192].to_vec()),
        ("damaged", damaged),
    ] {
        let error = attempt(name, &bytes);
        assert!(matches!(error, StoreError::BadBackup { .. }), "{name}: {error:?}");
    }
    let other = world.dir.0.join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(restore(&other, &to, Overwrite::No), Err(StoreError::NotOurs { .. })));
    // The live file without its log is not a backup.
    assert!(matches!(restore(&world.dir.0.join("data.db"), &to, Overwrite::No), Err(StoreError::BadBackup { .. })));

    let newer = world.dir.0.join("newer.db");
    fs::copy(&good, &newer).unwrap();
    let connection = rusqlite::Connection::open(&newer).unwrap();
    connection.execute("INSERT INTO store_migration VALUES (9999, 'future', 0)", ()).unwrap();
    drop(connection);
    assert!(matches!(restore(&newer, &to, Overwrite::No), Err(StoreError::NewerSchema { found: 9999, .. })));
    assert!(!to.exists());
    restore(&good, &to, Overwrite::No).unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = Dir::new();
    let path = dir.0.join("data.db");
    let mut acknowledged = BTreeSet::new();
    for lines in [200, 1, 777] {
        let program = example("durable_writer");
        let mut child = Command::new(program).arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..lines {
            line.clear();
            output.read_line(&mut line).unwrap();
            acknowledged
                .insert(line.trim().parse::<i64>().unwrap_or_else(|_| panic!("the writer ended early: {line:?}")));
        }
        child.kill().unwrap(); // SIGKILL
        // What it had printed before it died counts too.
        for line in output.lines() {
            acknowledged.extend(line.unwrap().parse::<i64>());
        }
        child.wait().unwrap();

        let store = Store::open(&StoreConfig::Sqlite { path: path.clone() }).await.unwrap();
        let mut tx = store.read().await.unwrap();
        let found: BTreeSet<i64> =
            tx.query("SELECT id FROM durable", &[]).await.unwrap().iter().map(|row| row.get("id").unwrap()).collect();
        let audited = count(&store, "SELECT count(*) AS n FROM audit_entry WHERE id NOT LIKE 'setup-%'").await;
        assert!(acknowledged.is_subset(&found), "lost: {:?}", acknowledged.difference(&found).collect::<Vec<_>>());
        assert_eq!(audited, i64::try_from(found.len()).unwrap(), "a row without its audit entry");
        tx.finish().await.unwrap();

        let mut tx = store.write().await.unwrap();
        tx.execute("DROP TABLE durable", &[]).await.unwrap();
        commit(tx).await;
        drop(store);
        acknowledged.clear();
        fs::remove_file(&path).unwrap();
    }
}

// PostgreSQL only

#[tokio::test]
async fn backup_of_postgres_names_its_tool() {
    let world = World::postgres().await;
    let error = world.store.backup(&world.dir.0.join("backup")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unsupported(text) if text.contains("pg_dump")), "{error:?}");
}

#[tokio::test]
async fn secrets_of_the_url_are_not_shown() {
    for (url, unreachable) in [
        ("postgres://u:hunter2@127.0.0.1:1/db", true),
        ("host=127.0.0.1 port=1 user=u password=hunter2 nonsense=hunter2", false),
        ("postgres://u:hunter2@[bad", false),
    ] {
        let config = StoreConfig::Postgres { url: url.into(), schema: None };
        let error = Store::open(&config).await.err().unwrap();
        assert_eq!(matches!(error, StoreError::Unavailable(_)), unreachable, "{error:?}");
        assert!(!format!("{config:?} {error:?} {error}").contains("hunter2"));
    }
    let config = StoreConfig::Postgres { url: "host=/x".into(), schema: Some("a; DROP".into()) };
    assert!(matches!(Store::open(&config).await, Err(StoreError::InvalidSchemaName)));
}

/// Two nodes: what one commits the other sees at once, and the gate stands between them too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gate_holds_between_nodes() {
    let world = World::postgres().await;
    let other = Store::open(&world.config).await.unwrap();
    let writing = world.store.write().await.unwrap();
    let mut changing = tokio::spawn(async move { other.policy().await.unwrap().commit(&entry(), &[]).await.unwrap() });
    assert!(tokio::time::timeout(A_WHILE, &mut changing).await.is_err());
    commit(writing).await;
    assert_eq!(changing.await.unwrap(), 1);
    assert_eq!(world.store.read().await.unwrap().revision(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connection_is_told_and_replaced() {
    let world = World::postgres().await;
    world.with_things(&[]).await;
    let mut tx = world.store.write().await.unwrap();
    let error = tx.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    drop(tx);

    let mut tx = world.store.write().await.unwrap();
    tx.execute(INSERT_THING, &[1.into(), Value::Null, Value::Null]).await.unwrap();
    let pid: i64 = tx.query_one("SELECT pg_backend_pid() AS pid", &[]).await.unwrap().get("pid").unwrap();
    let mut other = world.store.read().await.unwrap();
    other.query("SELECT pg_terminate_backend($1)", &[pid.into()]).await.unwrap();
    let error = tx.commit(&entry()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_) | StoreError::CommitUnknown(_)), "{error:?}");
    assert_eq!(world.count("thing").await, 0);
    for _ in 0..20 {
        world.store.ping().await.unwrap();
    }
}

/// Write skew: each of two writes reads what the other changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicting_writes_are_told() {
    let world = World::postgres().await;
    world.with_things(&[(1, Some("on")), (2, Some("on"))]).await;
    let (mut a, mut b) = (world.store.write().await.unwrap(), world.store.write().await.unwrap());
    for (tx, id) in [(&mut a, 1_i64), (&mut b, 2)] {
        assert_eq!(tx.query("SELECT id FROM thing WHERE name = 'on'", &[]).await.unwrap().len(), 2);
        tx.execute("UPDATE thing SET name = 'off' WHERE id = $1", &[id.into()]).await.unwrap();
    }
    commit(a).await;
    assert!(matches!(b.commit(&entry()).await, Err(StoreError::Conflict)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_migrate_once() {
    let dir = Dir::new();
    let config = World::postgres_config();
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let config = config.clone();
        nodes.spawn(async move { Store::open(&config).await.unwrap() });
    }
    let stores = nodes.join_all().await;
    let world = World { store: stores[0].clone(), config, dir };
    assert_eq!(world.count("policy_head").await, 1);
}

/// Nobody may forget that an integer is not text: SQLite would convert, PostgreSQL would guess.
#[tokio::test]
async fn value_of_another_type_than_inferred_is_refused() {
    let world = World::postgres().await;
    let mut tx = world.store.read().await.unwrap();
    let error = tx.query("SELECT $1 AS x", &[5.into()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Bind { number: 1, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_different_statements_are_survived() {
    for world in [World::sqlite().await, World::postgres().await] {
        let mut tx = world.store.read().await.unwrap();
        for length in 1..1_300_usize {
            let mut sql = SqlBuilder::new("SELECT 1 AS x WHERE 1 = 1");
            for bit in 0..11 {
                sql.push(if length >> bit & 1 == 1 { " AND 2 = 2" } else { " AND 1 = 1" });
            }
            assert_eq!(tx.query(sql, &[]).await.unwrap().len(), 1);
        }
        tx.finish().await.unwrap();
    }
}

// The world of a test

const INSERT_THING: &str = "INSERT INTO thing (id, name, data) VALUES ($1, $2, $3)";

struct World {
    store: Store,
    config: StoreConfig,
    dir: Dir,
}

impl World {
    async fn sqlite() -> Self {
        let dir = Dir::new();
        let config = StoreConfig::Sqlite { path: dir.0.join("data.db") };
        Self { store: Store::open(&config).await.unwrap(), config, dir }
    }

    /// On the server of `tests/postgres.sh start`. Without one the test fails: a promise on PostgreSQL is not kept by skipping.
    async fn postgres() -> Self {
        let config = Self::postgres_config();
        Self { store: Store::open(&config).await.unwrap(), config, dir: Dir::new() }
    }

    fn postgres_config() -> StoreConfig {
        let url = std::env::var("PORTCULLIS_TEST_POSTGRES").expect(
            "set PORTCULLIS_TEST_POSTGRES to a throw-away server, for example: \
             export PORTCULLIS_TEST_POSTGRES=\"$(crates/store/tests/postgres.sh start /tmp/portcullis-postgres)\"",
        );
        StoreConfig::Postgres { url, schema: Some(format!("test_{}", unique())) }
    }

    async fn reopened(self) -> Result<Self, StoreError> {
        let Self { store, config, dir } = self;
        drop(store);
        Ok(Self { store: Store::open(&config).await?, config, dir })
    }

    async fn with_things(&self, things: &[(i64, Option<&str>)]) {
        let mut tx = self.store.write().await.unwrap();
        tx.execute("CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, name TEXT, data BYTEA)", &[]).await.unwrap();
        for (id, name) in things {
            tx.execute(INSERT_THING, &[(*id).into(), (*name).into(), Value::Null]).await.unwrap();
        }
        commit(tx).await;
    }

    async fn insert(&self, id: i64) {
        let mut tx = self.store.write().await.unwrap();
        tx.execute(INSERT_THING, &[id.into(), Value::Null, Value::Null]).await.unwrap();
        commit(tx).await;
    }

    async fn insert_audit(&self) {
        self.store.append_audit_batch(&[entry()]).await.unwrap();
    }

    async fn change_policy(&self, kind: &'static str, id: &str) -> i64 {
        self.store.policy().await.unwrap().commit(&entry(), &[PolicyLogEntry { kind, id: id.into() }]).await.unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = match table {
            "thing" => "SELECT count(*) AS n FROM thing",
            "audit_entry" => "SELECT count(*) AS n FROM audit_entry",
            "store_migration" => "SELECT count(*) AS n FROM store_migration",
            "policy_head" => "SELECT count(*) AS n FROM policy_head",
            "store_outbox" => "SELECT count(*) AS n FROM store_outbox",
            "store_outbox_body" => "SELECT count(*) AS n FROM store_outbox_body",
            other => panic!("{other}"),
        };
        count(&self.store, sql).await
    }
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    let mut tx = store.read().await.unwrap();
    let n = tx.query_one(sql, &[]).await.unwrap().get("n").unwrap();
    tx.finish().await.unwrap();
    n
}

async fn commit(tx: Tx<Write>) {
    tx.commit(&entry()).await.unwrap();
}

async fn increment(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let id: i64 = tx.query_one("SELECT id FROM thing", &[]).await?.get("id")?;
    tokio::task::yield_now().await;
    tx.execute("UPDATE thing SET id = $1", &[(id + 1).into()]).await?;
    tx.commit(&entry()).await
}

fn entry() -> AuditEntry {
    AuditEntry { id: unique(), operation: "test".into(), ..AuditEntry::default() }
}

fn unique() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("{}_{:x}", std::process::id(), RandomState::new().hash_one(0))
}

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("portcullis_store_{}", unique()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Built by `cargo test` beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo test -p portcullis-store`, or build the examples",
        path.display()
    );
    path
}
