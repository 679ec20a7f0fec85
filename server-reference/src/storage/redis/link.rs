//! Calls to Redis: bounded in number and time, and made again only where it is certain that nothing was done.

use std::time::Duration;

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
};
use serde::Serialize;
use tokio::{sync::Semaphore, time};

use super::{
    reply::Reply,
    scripts::Script,
    settings::{Options, Settings, Timeouts, down, unavailable},
};
use crate::storage::{StorageError, events::LogError};

/// How long to wait before a refused call is made again; twice as long each time.
const PAUSE: Duration = Duration::from_millis(20);
/// How long at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(640);

/// The way to Redis.
pub(super) struct Link {
    connection: Connection,
    calls: Semaphore,
    timeouts: Timeouts,
    replicas: usize,
}

#[derive(Clone)]
enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::One(one) => one.req_packed_command(command).await?,
            Self::Cluster(cluster) => cluster.req_packed_command(command).await?,
        };
        answer.extract_error()
    }
}

/// What is asked of Redis.
enum Call<'a> {
    Script { script: &'a Script, keys: &'a [String], params: &'a [u8], rest: &'a [&'a [u8]] },
    Ask(&'a Cmd),
    AskAll(&'a Cmd),
}

impl Link {
    pub(super) async fn open(options: &Options, settings: &Settings) -> Result<Self, StorageError> {
        let Timeouts { connect, answer } = options.timeouts;
        let connection = match settings.cluster() {
            Some(client) => Connection::Cluster(client?.get_async_connection().await.map_err(down)?),
            None => {
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(connect))
                    .set_response_timeout(Some(answer))
                    .set_number_of_retries(2)
                    .set_min_delay(PAUSE)
                    .set_max_delay(LONGEST_PAUSE);
                let mut clients = settings.each()?;
                let client = clients.swap_remove(0);
                Connection::One(ConnectionManager::new_with_config(client, config).await.map_err(down)?)
            }
        };
        let calls = Semaphore::new(options.in_flight);
        let link = Self { connection, calls, timeouts: options.timeouts, replicas: options.replicas };
        link.examine().await?;
        Ok(link)
    }

    /// Whether a write has to be on replicas before it is acknowledged.
    pub(super) fn waits(&self) -> bool {
        self.replicas > 0
    }

    /// Runs a script. What it wrote is on as many replicas as it should be when this resolves.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[String],
        params: &impl Serialize,
        rest: &[&[u8]],
    ) -> Result<Reply, LogError> {
        let params = serde_json::to_vec(params).map_err(|error| unavailable(error.to_string()))?;
        self.bounded(Call::Script { script, keys, params: &params, rest }).await.map(Reply::new)
    }

    /// Asks for something that a repetition does no harm to.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, LogError> {
        self.bounded(Call::Ask(command)).await
    }

    /// Asks every primary.
    pub(super) async fn ask_all(&self, command: &Cmd) -> Result<Vec<Value>, LogError> {
        Ok(match self.bounded(Call::AskAll(command)).await? {
            Value::Array(answers) => answers,
            Value::Map(answers) => answers.into_iter().map(|(_, answer)| answer).collect(),
            one => vec![one],
        })
    }

    /// Makes a call, one of so many and within its time. It is made again where Redis has refused to begin with it.
    async fn bounded(&self, call: Call<'_>) -> Result<Value, LogError> {
        let mut problem = None;
        let trying = async {
            let _permit = self.calls.acquire().await.map_err(|_| unavailable("the link is closed"))?;
            let (mut connection, mut pause) = (self.connection.clone(), PAUSE);
            loop {
                match self.attempt(&mut connection, &call).await {
                    Ok(done) => return Ok(done),
                    Err(error) if refused(&error) && pause <= LONGEST_PAUSE => problem = Some(error),
                    Err(error) => return Err(down(error)),
                }
                time::sleep(pause).await;
                pause *= 2;
            }
        };
        let tried = time::timeout(self.timeouts.answer, trying).await;
        let late = || match problem {
            Some(error) => down(error),
            None => unavailable("Redis did not answer in time"),
        };
        Ok(tried.unwrap_or_else(|_| Err(late()))?)
    }

    async fn attempt(&self, connection: &mut Connection, call: &Call<'_>) -> RedisResult<Value> {
        match (call, connection) {
            (Call::Script { script, keys, params, rest }, connection) => {
                let command = |verb: &str, text: &str| {
                    let mut command = redis::cmd(verb);
                    command.arg(text).arg(keys.len()).arg(*keys).arg(*params);
                    command.arg(*rest);
                    command
                };
                let wait = self.waits() && script.writes();
                let by_hash = self.once(connection, &keys[0], command("EVALSHA", script.hash()), wait).await;
                match by_hash {
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                        self.once(connection, &keys[0], command("EVAL", script.text()), wait).await
                    }
                    done => done,
                }
            }
            (Call::Ask(command), connection) => connection.send(command).await,
            (Call::AskAll(command), Connection::Cluster(cluster)) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                cluster.route_command((*command).clone(), all).await?.extract_error()
            }
            (Call::AskAll(command), one) => Ok(Value::Array(vec![one.send(command).await?])),
        }
    }

    /// Sends a script, and behind it what waits for replicas, if that is to be.
    async fn once(
        &self,
        connection: &mut Connection,
        key: &str,
        command: Cmd,
        wait: bool,
    ) -> RedisResult<Value> {
        if !wait {
            return connection.send(&command).await;
        }
        // On the same connection: what is waited for is that connection's newest write.
        let mut both = Pipeline::with_capacity(2);
        both.add_command(command);
        let patience = u64::try_from(self.timeouts.answer.as_millis() / 2).unwrap_or(u64::MAX);
        both.cmd("WAIT").arg(self.replicas).arg(patience);
        let answers = match connection {
            Connection::One(one) => one.req_packed_commands(&both, 0, 2).await?,
            Connection::Cluster(cluster) => {
                let node = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                cluster.route_pipeline(both, 0, 2, node).await?
            }
        };
        let mut answers = answers.into_iter();
        let done = answers.next().unwrap_or(Value::Nil).extract_error()?;
        match answers.next().map(Value::extract_error).transpose()? {
            Some(Value::Int(have)) if usize::try_from(have).is_ok_and(|have| have >= self.replicas) => {
                Ok(done)
            }
            have => {
                let detail = format!("{have:?} of {} have it", self.replicas);
                Err((ErrorKind::Io, "too few replicas have answered", detail).into())
            }
        }
    }

    /// Whether every primary is one that loses nothing by itself.
    async fn examine(&self) -> Result<(), StorageError> {
        let mut info = redis::cmd("INFO");
        info.arg("server").arg("memory");
        let answers = self.ask_all(&info).await.map_err(|error| match error {
            LogError::Storage(error) => error,
            other => unavailable(other.to_string()),
        })?;
        for answer in answers {
            let text: String =
                redis::from_redis_value(answer).map_err(|error| unavailable(error.to_string()))?;
            let field = |name: &str| {
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
            };
            let version = field("redis_version");
            if version
                .split('.')
                .next()
                .and_then(|major| major.parse::<u32>().ok())
                .is_none_or(|major| major < 7)
            {
                return Err(unavailable(format!("Redis 7 or newer is needed, and this is {version:?}")));
            }
            let policy = field("maxmemory_policy");
            if policy != "noeviction" {
                return Err(unavailable(format!(
                    "Redis has the maxmemory-policy {policy:?}, by which it may lose topics; noeviction is needed"
                )));
            }
        }
        Ok(())
    }
}

/// Whether Redis has said that it did nothing, and may say otherwise soon.
fn refused(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(kind) => {
            matches!(kind, Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain)
        }
        kind => kind == ErrorKind::ClusterConnectionNotFound,
    }
}
