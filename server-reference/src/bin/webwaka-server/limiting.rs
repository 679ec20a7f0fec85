//! How much everybody may do, as the command line says it.

use clap::{Args, value_parser};
use ipnet::IpNet;
use server_reference::limits::{Quota, Quotas, Rates};

const DEFAULT: Quotas = Quotas::DEFAULT;

/// The limits of a server.
#[derive(Args)]
pub(crate) struct Limiting {
    /// Frames that one session may send in a second, on average.
    #[arg(long, default_value_t = DEFAULT.session.messages, env = "WEBWAKA_SESSION_FRAMES", value_parser = value_parser!(u64).range(1..))]
    session_frames: u64,
    /// Bytes of frames that one session may send in a second, on average.
    #[arg(long, default_value_t = DEFAULT.session.bytes, env = "WEBWAKA_SESSION_BYTES", value_parser = value_parser!(u64).range(1..))]
    session_bytes: u64,
    /// Frames and requests of one user in a second, on average.
    #[arg(long, default_value_t = DEFAULT.user.rates.messages, env = "WEBWAKA_USER_MESSAGES", value_parser = value_parser!(u64).range(1..))]
    user_messages: u64,
    /// Bytes of them.
    #[arg(long, default_value_t = DEFAULT.user.rates.bytes, env = "WEBWAKA_USER_BYTES", value_parser = value_parser!(u64).range(1..))]
    user_bytes: u64,
    /// WebSockets and waiting readers of one user at one time.
    #[arg(long, default_value_t = DEFAULT.user.connections, env = "WEBWAKA_USER_CONNECTIONS")]
    user_connections: usize,
    /// Frames and requests of one tenant in a second, on average.
    #[arg(long, default_value_t = DEFAULT.tenant.rates.messages, env = "WEBWAKA_TENANT_MESSAGES", value_parser = value_parser!(u64).range(1..))]
    tenant_messages: u64,
    /// Bytes of them.
    #[arg(long, default_value_t = DEFAULT.tenant.rates.bytes, env = "WEBWAKA_TENANT_BYTES", value_parser = value_parser!(u64).range(1..))]
    tenant_bytes: u64,
    /// WebSockets and waiting readers of one tenant at one time.
    #[arg(long, default_value_t = DEFAULT.tenant.connections, env = "WEBWAKA_TENANT_CONNECTIONS")]
    tenant_connections: usize,
    /// Frames and requests of one address in a second, on average, with and without a token.
    #[arg(long, default_value_t = DEFAULT.address.rates.messages, env = "WEBWAKA_ADDRESS_MESSAGES", value_parser = value_parser!(u64).range(1..))]
    address_messages: u64,
    /// Bytes of them.
    #[arg(long, default_value_t = DEFAULT.address.rates.bytes, env = "WEBWAKA_ADDRESS_BYTES", value_parser = value_parser!(u64).range(1..))]
    address_bytes: u64,
    /// WebSockets and waiting readers of one address at one time.
    #[arg(long, default_value_t = DEFAULT.address.connections, env = "WEBWAKA_ADDRESS_CONNECTIONS")]
    address_connections: usize,
    /// WebSockets of one address at one time that have not said who they are.
    #[arg(long, default_value_t = DEFAULT.greetings, env = "WEBWAKA_ADDRESS_GREETINGS")]
    address_greetings: usize,
    /// Bytes of memory for what peers do not take as fast as it is sent, and for what has not come as a whole; of one user,
    /// tenant or address, half of it.
    #[arg(long, default_value_t = DEFAULT.memory, env = "WEBWAKA_PENDING_MEMORY")]
    pending_memory: usize,
    /// As how many messages of its address a token counts that is none.
    #[arg(long, default_value_t = DEFAULT.refused_token, env = "WEBWAKA_REFUSED_TOKEN_COST")]
    refused_token_cost: u64,
    /// Seconds of messages and bytes that may come at once, of everybody.
    #[arg(long, default_value_t = DEFAULT.session.burst, env = "WEBWAKA_BURST_SECONDS", value_parser = value_parser!(u64).range(1..))]
    burst_seconds: u64,
    /// Proxies in front of this server, such as `10.0.0.0/8`, which say in Forwarded or X-Forwarded-For whom they speak
    /// for; may be given several times. Without it everybody behind a proxy has one address.
    #[arg(long = "trusted-proxy", env = "WEBWAKA_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Vec<IpNet>,
}

impl Limiting {
    /// The same as a server takes them.
    pub(crate) fn quotas(self) -> Quotas {
        let rates = |messages, bytes| Rates { messages, bytes, burst: self.burst_seconds };
        let quota = |messages, bytes, connections| Quota { rates: rates(messages, bytes), connections };
        Quotas {
            session: rates(self.session_frames, self.session_bytes),
            user: quota(self.user_messages, self.user_bytes, self.user_connections),
            tenant: quota(self.tenant_messages, self.tenant_bytes, self.tenant_connections),
            address: quota(self.address_messages, self.address_bytes, self.address_connections),
            greetings: self.address_greetings,
            memory: self.pending_memory,
            refused_token: self.refused_token_cost,
            proxies: self.trusted_proxies.into(),
        }
    }
}
