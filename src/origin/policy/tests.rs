use super::*;
use serde_json::{Value, json};

fn distribution() -> DistributionArn {
    DistributionArn::new("111122223333", "EDFDVBD6EXAMPLE").unwrap()
}

fn statement(sid: &str, actions: &[&str], resource: &str) -> Value {
    let arn = "arn:aws:cloudfront::111122223333:distribution/EDFDVBD6EXAMPLE";
    json!({
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": actions,
        "Resource": resource,
        "Condition": {"StringEquals": {"AWS:SourceArn": arn}},
    })
}

fn assert_is(policy: &Policy, statements: &[Value]) {
    let document: Value = serde_json::from_str(&policy.to_string()).unwrap();
    assert_eq!(
        document,
        json!({"Version": "2012-10-17", "Statement": statements})
    );
    let each: Vec<Value> = policy
        .statements()
        .map(|statement| serde_json::from_str(statement).unwrap())
        .collect();
    assert_eq!(each, statements);
}

#[test]
fn a_bucket_is_read_by_one_distribution_or_written_too() {
    let read = s3_bucket("my.assets-1", &distribution()).unwrap();
    let resource = "arn:aws:s3:::my.assets-1/*";
    assert_is(
        &read,
        &[statement("AllowCloudFront", &["s3:GetObject"], resource)],
    );

    let write = s3_bucket_read_write("my.assets-1", &distribution()).unwrap();
    let actions = ["s3:GetObject", "s3:PutObject"];
    assert_is(&write, &[statement("AllowCloudFront", &actions, resource)]);
}

#[test]
fn a_migration_lets_both_principals_read() {
    let policy = s3_bucket_migration("assets", &distribution(), "E127EXAMPLE51Z").unwrap();
    let legacy = json!({
        "Sid": "AllowOriginAccessIdentity",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E127EXAMPLE51Z"},
        "Action": ["s3:GetObject"],
        "Resource": "arn:aws:s3:::assets/*",
    });
    let current = statement(
        "AllowCloudFront",
        &["s3:GetObject"],
        "arn:aws:s3:::assets/*",
    );
    assert_is(&policy, &[current, legacy]);
}

#[test]
fn a_key_may_be_used_by_one_distribution_beside_its_other_users() {
    let actions = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"];
    let alone: Value = serde_json::from_str(&kms_key(&distribution())).unwrap();
    // A document would be attached in place of the key's own.
    assert_eq!(alone, statement("AllowCloudFront", &actions, "*"));
}

#[test]
fn a_function_is_invoked_by_its_url_only() {
    for arn in [
        "arn:aws:lambda:eu-west-1:111122223333:function:render",
        "arn:aws:lambda:us-gov-west-1:111122223333:function:a_B-9:live",
    ] {
        let policy = lambda_function_url(arn, &distribution()).unwrap();
        let url = statement("AllowCloudFrontUrl", &["lambda:InvokeFunctionUrl"], arn);
        let mut invoke = statement("AllowCloudFrontInvoke", &["lambda:InvokeFunction"], arn);
        invoke["Condition"]["Bool"] = json!({"lambda:InvokedViaFunctionUrl": "true"});
        assert_is(&policy, &[url, invoke]);
    }
}

#[test]
fn every_mistake_is_named() {
    for account in [
        "",
        "11112222333",
        "1111222233334",
        "11112222333x",
        "11112222333\"",
        "１１１１",
    ] {
        let error = DistributionArn::new(account, "E1").unwrap_err();
        assert_eq!(error.setting(), "account");
    }
    for id in [
        "",
        "e1",
        "*",
        "E1*",
        "E?",
        "E1\"",
        "E1/",
        "E 1",
        "E1\n",
        &"E".repeat(33),
    ] {
        let error = DistributionArn::new("111122223333", id).unwrap_err();
        assert_eq!(error.setting(), "distribution_id");
        let error = s3_bucket_migration("assets", &distribution(), id).unwrap_err();
        assert_eq!(error.setting(), "origin_access_identity");
    }
    for bucket in [
        "",
        "ab",
        "Assets",
        "as_sets",
        "-assets",
        "assets-",
        ".assets",
        "assets.",
        "as..sets",
        "as.-sets",
        "as-.sets",
        "192.0.2.1",
        "assets/*",
        "*",
        "ass?ts",
        "assets\"",
        "ass\\u0041",
        "caf\u{e9}",
        "a\nb",
        "${aws:username}",
        &"a".repeat(64),
    ] {
        for policy in [
            s3_bucket(bucket, &distribution()),
            s3_bucket_read_write(bucket, &distribution()),
            s3_bucket_migration(bucket, &distribution(), "E1"),
        ] {
            assert_eq!(policy.unwrap_err().setting(), "bucket", "{bucket}");
        }
    }
    assert!(s3_bucket(&"a".repeat(63), &distribution()).is_ok());
    let good = "arn:aws:lambda:eu-west-1:111122223333:function:render";
    for arn in [
        "render".to_owned(),
        good.replace("lambda", "s3"),
        good.replace("eu-west-1", ""),
        good.replace("eu-west-1", "*"),
        good.replace("111122223333", "*"),
        good.replace("render", ""),
        good.replace("render", "*"),
        good.replace("render", "a\""),
        good.replace("render", &"a".repeat(65)),
        format!("{good}:"),
        format!("{good}:*"),
        format!("{good}:live:more"),
    ] {
        let error = lambda_function_url(&arn, &distribution()).unwrap_err();
        assert_eq!(error.setting(), "function_arn", "{arn}");
    }
}
