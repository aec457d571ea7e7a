//! Amazon SQS: backlogs, and the messages that wake a function between two ticks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use evenkeel_model::observed::Signal;
use evenkeel_model::{FleetName, QueueName, Timestamp};
use evenkeel_turn::ports::{Answer, Beats, Clock, DeadLetters, PortError};

use crate::Aws;
use crate::convert::all;
use crate::error::port_error;

/// Messages in one call (SQS API reference, SendMessageBatch).
const MOST_MESSAGES: usize = 10;
/// The longest that a message may be held back (SQS API reference, DelaySeconds).
const LONGEST_DELAY: u64 = 900;

/// Characters of an event that is of no use: its message stays within 256 KiB whatever is escaped in it (SQS developer
/// guide, "Amazon SQS message quotas").
const MOST_OF_AN_EVENT: usize = 32 * 1024;

/// The URLs of queues by name, which do not change while a queue is there.
pub(crate) type Urls = Mutex<BTreeMap<QueueName, String>>;

impl Aws {
    /// Messages in each queue: those that wait, and those that are being worked on.
    #[cfg_attr(not(feature = "cloudwatch"), expect(dead_code, reason = "the port needs both services"))]
    pub(crate) async fn sqs_backlogs(&self, queues: &[QueueName]) -> Answer<Vec<Signal>> {
        let at = self.now();
        all(queues.iter().map(async |queue| {
            match self.backlog(queue).await {
                Ok(Some((waiting, in_flight))) => Ok(Signal::Backlog { waiting, in_flight, at }),
                Ok(None) => Ok(Signal::Unknown(format!("queue {queue} does not say how many messages it has"))),
                Err(PortError::NotFound(_)) => {
                    self.queue_urls.lock().unwrap_or_else(PoisonError::into_inner).remove(queue);
                    Ok(Signal::Unknown(format!("there is no queue {queue}")))
                }
                // One queue that may not be read is no reason not to read the others.
                Err(PortError::Refused(because)) => Ok(Signal::Unknown(because)),
                Err(error) => Err(error),
            }
        }))
        .await
    }

    async fn backlog(&self, queue: &QueueName) -> Answer<Option<(f64, f64)>> {
        let url = self.queue_url(queue).await?;
        let waiting = QueueAttributeName::ApproximateNumberOfMessages;
        let in_flight = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let asked = self.sqs.get_queue_attributes().queue_url(url);
        let asked = asked.attribute_names(waiting.clone()).attribute_names(in_flight.clone());
        let answer = asked.send().await.map_err(port_error)?;
        let number = |name: &QueueAttributeName| answer.attributes()?.get(name)?.parse().ok();
        Ok(number(&waiting).zip(number(&in_flight)))
    }

    async fn queue_url(&self, queue: &QueueName) -> Answer<String> {
        let known = self.queue_urls.lock().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        if let Some(url) = known {
            return Ok(url);
        }
        let answer = self.sqs.get_queue_url().queue_name(queue.as_str()).send().await.map_err(port_error)?;
        let url = answer.queue_url.ok_or_else(|| PortError::NotFound(format!("queue {queue} has no URL")))?;
        self.queue_urls.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.clone(), url.clone());
        Ok(url)
    }
}

impl Beats for Aws {
    async fn wake_after(&self, fleet: &FleetName, delays: &[Duration], hop: u32) -> Answer<()> {
        let Some(url) = &self.settings.beat_queue else {
            return Err(PortError::Refused("this function has no queue to be woken by".to_owned()));
        };
        let now = self.now();
        all(delays.chunks(MOST_MESSAGES).map(async |chunk| {
            let entries = chunk.iter().enumerate().map(|(index, delay)| entry(index, fleet, *delay, now, hop));
            let entries = entries.collect::<Answer<Vec<_>>>()?;
            let answer = self.sqs.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await;
            let answer = answer.map_err(port_error)?;
            match answer.failed().first() {
                None => Ok(()),
                Some(failure) => Err(PortError::Unavailable(format!(
                    "{} of {} beats not sent: {}",
                    answer.failed().len(),
                    chunk.len(),
                    failure.code()
                ))),
            }
        }))
        .await?;
        Ok(())
    }
}

impl DeadLetters for Aws {
    async fn bury(&self, because: &str, event: &str) -> Answer<bool> {
        let Some(url) = &self.settings.dead_letters else { return Ok(false) };
        let event: String = event.chars().take(MOST_OF_AN_EVENT).collect();
        let letter = serde_json::json!({ "reason": because, "event": event });
        self.sqs.send_message().queue_url(url).message_body(letter.to_string()).send().await.map_err(port_error)?;
        Ok(true)
    }
}

fn entry(
    index: usize,
    fleet: &FleetName,
    delay: Duration,
    now: Timestamp,
    hop: u32,
) -> Answer<SendMessageBatchRequestEntry> {
    let seconds = delay.as_secs().min(LONGEST_DELAY);
    let at = now + Duration::from_secs(seconds);
    let beat = serde_json::json!({ "fleet": fleet, "beat": format!("{at:.0}"), "hop": hop });
    let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(beat.to_string());
    let entry = entry.delay_seconds(i32::try_from(seconds).unwrap_or(0));
    entry.build().map_err(|error| PortError::Refused(error.to_string()))
}
