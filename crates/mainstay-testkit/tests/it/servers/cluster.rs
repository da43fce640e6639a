//! Redis Cluster.

use mainstay_testkit::servers::RedisCluster;

#[tokio::test]
async fn three_nodes_share_the_keys() {
    let mut cluster = RedisCluster::start().await.unwrap();
    for key in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(cluster.redis_cli(&["SET", key, "v"]).await.unwrap(), "OK");
        assert_eq!(cluster.redis_cli(&["GET", key]).await.unwrap(), "v");
    }
    let moved = cluster.nodes()[0].redis_cli(&["GET", "a"]).await;
    assert!(moved.unwrap_err().to_string().contains("MOVED 15495"));
    cluster.move_slot(0, 2).await.unwrap();
    let owner = cluster.nodes()[2].redis_cli(&["CLUSTER", "NODES"]).await.unwrap();
    let myself = owner.lines().find(|line| line.contains("myself")).unwrap();
    assert!(myself.split(' ').any(|slots| slots == "0"), "{myself}");
    cluster.nodes_mut()[1].kill();
    cluster.nodes_mut()[1].restart().await.unwrap();
    cluster.wait_until_ok().await.unwrap();
}
