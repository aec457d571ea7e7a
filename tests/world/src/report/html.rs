//! The report as one page that needs nothing else: charts of what was wanted and what ran, and the figures as a table.

use std::fmt::Write as _;

use evenkeel_model::ServiceName;
use evenkeel_model::view::{DecisionView, Moment};

use super::{Report, ServiceReport};

/// The page's template: `{{title}}` and `{{body}}` are filled in.
const PAGE: &str = include_str!("page.html");
/// More points than a chart has pixels only make the file large.
const POINTS: usize = 900;
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 180.0;

/// The page.
///
/// # Errors
/// When the report cannot be written as JSON, which never happens with finite numbers.
pub fn page(report: &Report, moments: &[Moment], decisions: &[DecisionView]) -> Result<String, serde_json::Error> {
    let mut body = String::new();
    let _ = write!(body, "<pre class=\"summary\">{}</pre>", escape(&report.to_string()));
    for service in &report.services {
        body.push_str(&chart(service, moments));
    }
    body.push_str("<h2>The newest decisions</h2><ol>");
    for entry in decisions {
        let _ = write!(body, "<li><time>{:.0}</time> {}</li>", entry.decision.at, escape(&entry.text));
    }
    body.push_str("</ol>");
    let json = serde_json::to_string_pretty(report)?;
    let _ = write!(body, "<details><summary>The report as JSON</summary><pre>{}</pre></details>", escape(&json));
    let title = escape(&format!("Even Keel: {}, seed {}", report.fleet, report.seed));
    Ok(PAGE.replace("{{title}}", &title).replace("{{body}}", &body))
}

/// What was wanted as a line over what ran as an area.
fn chart(service: &ServiceReport, moments: &[Moment]) -> String {
    let wanted = points(&service.name, moments, |of| of.wanted);
    let running = points(&service.name, moments, |of| of.running);
    let most = wanted.iter().chain(&running).copied().fold(1.0, f64::max);
    let count = wanted.len().max(2) - 1;
    let place = |(index, value): (usize, &f64)| {
        #[expect(clippy::cast_precision_loss, reason = "a chart has few points")]
        let x = WIDTH * index as f64 / count as f64;
        format!("{x:.1},{:.1}", HEIGHT - HEIGHT * value / most)
    };
    let line = |values: &[f64]| values.iter().enumerate().map(place).collect::<Vec<_>>().join(" ");
    let name = escape(service.name.as_str());
    let word = if service.fill { "room" } else { "wanted" };
    let span = moments.first().zip(moments.last()).map_or(String::new(), |(first, last)| {
        format!(
            "<text x=\"0\" y=\"{y}\">{:.0}</text><text x=\"{WIDTH}\" y=\"{y}\" class=\"end\">{:.0}</text>",
            first.at,
            last.at,
            y = HEIGHT + 18.0
        )
    });
    format!(
        "<figure><figcaption>{name}: <b class=\"running\">running</b> and <b class=\"wanted\">{word}</b> tasks, at most {most:.0}\
         </figcaption><svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{name}: running and {word} tasks over time\">\
         <polygon class=\"running\" points=\"0,{HEIGHT} {} {WIDTH},{HEIGHT}\"/><polyline class=\"wanted\" points=\"{}\"/>{span}</svg></figure>",
        HEIGHT + 24.0,
        line(&running),
        line(&wanted),
    )
}

/// At most [`POINTS`] values, each the largest of its stretch, so that no peak is lost.
fn points(
    name: &ServiceName,
    moments: &[Moment],
    value: impl Fn(&evenkeel_model::view::MomentOfService) -> f64,
) -> Vec<f64> {
    let values: Vec<f64> = moments.iter().map(|moment| moment.services.get(name).map_or(0.0, &value)).collect();
    let each = values.len().div_ceil(POINTS).max(1);
    values.chunks(each).map(|stretch| stretch.iter().copied().fold(0.0, f64::max)).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
