//! How things are, in sentences, for whoever asks by hand.

use evenkeel_model::view::View;

/// A view that can be said.
pub trait InWords {
    /// One sentence for each thing that people ask about.
    fn in_words(&self) -> Vec<String>;
}

impl InWords for View {
    fn in_words(&self) -> Vec<String> {
        let service = |service: &evenkeel_model::view::ServiceView| {
            let short = if service.fill { 0 } else { service.want.saturating_sub(service.running) };
            let short = if short == 0 { String::new() } else { format!(", {short} short") };
            let starting = if service.pending == 0 { String::new() } else { format!(", {} starting", service.pending) };
            format!("{}: {} wanted, {} running{starting}{short}", service.name, service.want, service.running)
        };
        let observes = self.mode.says(evenkeel_model::FunctionName::Microscale);
        observes.into_iter().chain(self.services.iter().map(service)).collect()
    }
}

impl<V: InWords> InWords for Option<V> {
    fn in_words(&self) -> Vec<String> {
        self.as_ref()
            .map_or_else(|| vec!["nothing is shown: the fleet file has no section for it".to_owned()], V::in_words)
    }
}
