use crate::random::Random;
use crate::{Client, Error, Request, Response, Value};

/// Why an operation ends before its last line. Authors pass it on with `?`.
#[derive(Debug)]
pub enum Stop {
    /// The conversation goes on once the host has an answer.
    Suspend,
    /// The conversation is over without a result.
    Fail(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Stop {
        Stop::Fail(e)
    }
}

/// What an operation waits for.
pub(crate) enum Asked {
    Request(Request),
    Wait(u64),
}

/// One call of an operation: the tenant it is for, and the upstream's answers
/// so far.
pub struct Conversation {
    pub(crate) now_ms: i64,
    pub(crate) tenant: String,
    pub(crate) random: Random,
    pub(crate) settings: Value,
    pub(crate) client: Client,
    pub(crate) answers: std::vec::IntoIter<Response>,
    pub(crate) asked: Option<Asked>,
}

impl Conversation {
    /// The time of the conversation in seconds since 1970 UTC, the same in all
    /// its calls.
    pub fn now(&self) -> i64 {
        self.now_ms.div_euclid(1000)
    }

    /// Fills a slice with the random bytes of the conversation, for nonces and
    /// the like: one stream that only the conversation's seed decides. It begins
    /// anew in every call of the operation, and gives the same bytes natively
    /// and in the sandbox.
    pub fn random(&mut self, to: &mut [u8]) {
        self.random.fill(to);
    }

    /// The name of the tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Our registration at the upstream, without its secret.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One of the tenant's settings, or null; the host has filled in the
    /// defaults of the manifest's schema.
    pub fn setting(&self, name: &str) -> &Value {
        &self.settings[name]
    }

    /// Performs a request and returns the upstream's answer, whatever its
    /// status. If the upstream cannot be reached the host ends the
    /// conversation.
    ///
    /// The answer cannot be waited for inside the sandbox. The first time,
    /// this returns [`Stop::Suspend`], which the operation passes on; the
    /// operation is then called again from its start, and this time the answer
    /// is there. An operation that swallows the stop changes nothing: the
    /// request counts, and whatever the operation returns does not.
    pub fn call(&mut self, request: Request) -> Result<Response, Stop> {
        self.step(Asked::Request(request))
    }

    /// Lets so many milliseconds pass without holding anything. It counts as a
    /// step of the conversation, as [`call`](Conversation::call) does.
    pub fn wait(&mut self, ms: u64) -> Result<(), Stop> {
        match ms {
            0 => Ok(()),
            _ => self.step(Asked::Wait(ms)).map(|_| ()),
        }
    }

    fn step(&mut self, what: Asked) -> Result<Response, Stop> {
        if let Some(answer) = self.answers.next() {
            return Ok(answer);
        }
        self.asked.get_or_insert(what); // the first word counts
        Err(Stop::Suspend)
    }
}
