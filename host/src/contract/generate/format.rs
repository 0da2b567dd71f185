//! Texts of the formats that JSON Schema and resource type schemas name.

use rand::RngExt as _;

use super::seed::Random;
use super::text::word;

/// Draws a text of a format, or gives none for a format that is not known.
///
/// Besides the formats of JSON Schema, published schemas name those of a
/// property of another type, such as `AWS::IAM::Role.Arn`.
pub(super) fn sample(format: &str, random: &mut Random) -> Option<String> {
    let mut hex = |digits: usize| -> String {
        (0..digits)
            .map(|_| char::from(b"0123456789abcdef"[random.random_range(0..16)]))
            .collect()
    };
    Some(match format {
        "uuid" => format!("{}-{}-4{}-a{}-{}", hex(8), hex(4), hex(3), hex(3), hex(12)),
        "AWS::EC2::SecurityGroup.Id" | "AWS::EC2::SecurityGroup.Ids" => format!("sg-{}", hex(17)),
        "AWS::EC2::Subnet.Id" | "AWS::EC2::Subnet.Ids" => format!("subnet-{}", hex(17)),
        "AWS::EC2::VPC.Id" => format!("vpc-{}", hex(17)),
        "AWS::EC2::Image.Id" => format!("ami-{}", hex(17)),
        _ => return moment(format, random).or_else(|| name(format, random)),
    })
}

fn moment(format: &str, random: &mut Random) -> Option<String> {
    // Days that every month has.
    let date = format!(
        "20{:02}-{:02}-{:02}",
        random.random_range(10..40),
        random.random_range(1..=12),
        random.random_range(1..=28)
    );
    let time = format!(
        "{:02}:{:02}:{:02}Z",
        random.random_range(0..24),
        random.random_range(0..60),
        random.random_range(0..60)
    );
    match format {
        "date" => Some(date),
        "time" => Some(time),
        "date-time" | "timestamp" => Some(format!("{date}T{time}")),
        "duration" => Some(format!("PT{}M", random.random_range(1..60))),
        _ => None,
    }
}

fn name(format: &str, random: &mut Random) -> Option<String> {
    let name = word(8, random);
    let byte = random.random_range(1..=254);
    Some(match format {
        "arn" => format!("arn:aws:service:us-east-1:123456789012:thing/{name}"),
        "uri" | "url" | "iri" | "uri-reference" | "iri-reference" => {
            format!("https://{name}.example.com/{byte}")
        }
        "uri-template" => format!("https://{name}.example.com/{{id}}"),
        "email" | "idn-email" => format!("{name}@example.com"),
        "hostname" | "idn-hostname" => format!("{name}.example.com"),
        // The blocks for documentation.
        "ipv4" => format!("192.0.2.{byte}"),
        "ipv6" => format!("2001:db8::{byte:x}"),
        "ipv4-network" => format!("10.{byte}.0.0/16"),
        "ipv6-network" => format!("2001:db8:{byte:x}::/48"),
        "json" => format!(r#"{{"Key":"{name}"}}"#),
        "json-pointer" => format!("/{name}"),
        "relative-json-pointer" => format!("0/{name}"),
        "regex" => format!("^{name}$"),
        "int32" | "int64" => byte.to_string(),
        "float" | "double" => format!("{byte}.5"),
        "byte" => "Zm9ybXdvcms=".to_owned(),
        _ => {
            let (owner, property) = format.rsplit_once('.')?;
            let mut parts = owner.split("::").skip(1);
            let service = parts.next()?.to_ascii_lowercase();
            let resource = parts.next()?.to_ascii_lowercase();
            match property {
                "Arn" if service == "iam" => {
                    format!("arn:aws:iam::123456789012:{resource}/{name}")
                }
                "Arn" => format!("arn:aws:{service}:us-east-1:123456789012:{resource}/{name}"),
                "Id" | "Ids" => format!("{resource}-{name}"),
                _ => return None,
            }
        }
    })
}
