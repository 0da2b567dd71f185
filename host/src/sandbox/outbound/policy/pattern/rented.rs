//! Hosts of AWS that anybody can rent, which a line of the log warns of.

use super::{HostPattern, HttpPattern};

/// The services of AWS whose hosts anybody can rent.
const RENTED: [&str; 4] = ["compute", "elb", "execute-api", "lambda-url"];

impl HttpPattern {
    /// Tells whether it stands for hosts that AWS gives to whoever rents them, such
    /// as those of API Gateway, or for all hosts of AWS, or all of a region.
    pub(in crate::sandbox::outbound::policy) fn has_rented_hosts(&self) -> bool {
        let HostPattern::Below(name) = &self.host else {
            return false;
        };
        let name = name.strip_suffix(".cn").unwrap_or(name);
        let is_region = |label: &str| matches!(label.as_bytes(), [_, _, b'-', ..]);
        if let Some(before) = name.strip_suffix("amazonaws.com") {
            let mut labels = before.split('.').filter(|label| !label.is_empty());
            return labels.all(|label| is_region(label) || RENTED.contains(&label));
        }
        name == "on.aws" || name.ends_with(".on.aws")
    }
}
