//! Fields that serde passes over: an internally tagged choice without fields of its own accepts any,
//! `deny_unknown_fields` or not.

use serde::Serialize;
use serde_json::Value;

use crate::error::SettingsError;

/// The keys that tell which choice a table makes.
const TAGS: [&str; 2] = ["by", "from"];

/// Refuses fields of `given` that the choice made there does not have. `read` is what was read
/// from `given`; it names the fields that there are.
///
/// # Errors
/// The first such field, by its path.
pub fn no_extra_fields(given: &Value, read: &impl Serialize) -> Result<(), SettingsError> {
    // What was read from text can be written as text; should it not, nothing is refused.
    let read = serde_json::to_value(read).unwrap_or_default();
    check(given, &read, "")
}

fn check(given: &Value, read: &Value, path: &str) -> Result<(), SettingsError> {
    let (Value::Object(given), Value::Object(read)) = (given, read) else {
        return Ok(());
    };
    let choice = TAGS.into_iter().find(|tag| given.contains_key(*tag));
    for (key, value) in given {
        let inner = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        match (read.get(key), choice) {
            (Some(known), _) => check(value, known, &inner)?,
            (None, Some(tag)) => {
                let expected = format!("no such field where {tag} = {}", given[tag]);
                return Err(SettingsError::new(inner, expected, value.to_string()));
            }
            // What an untagged struct does not know, serde has refused.
            (None, None) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RoomSettings;
    use serde_json::json;

    #[test]
    fn a_field_that_the_choice_does_not_have_is_named() {
        let given = json!({ "texts": { "from": "corpus", "corpus": "reviews", "deal": {
            "gold": 8, "unlabelled": 48, "partition": { "by": "iid", "alpha": 0.5 } } } });
        let read: RoomSettings = serde_json::from_value(given.clone()).unwrap();
        let error = no_extra_fields(&given, &read).unwrap_err();
        assert_eq!(error.field, "texts.deal.partition.alpha");
        assert_eq!(error.expected, "no such field where by = \"iid\"");
        assert_eq!(error.got, "0.5");
        let own = json!({ "texts": { "from": "own", "deal": {} } });
        let read: RoomSettings = serde_json::from_value(own.clone()).unwrap();
        assert_eq!(
            no_extra_fields(&own, &read).unwrap_err().field,
            "texts.deal"
        );
    }

    #[test]
    fn whole_settings_pass() {
        let settings = RoomSettings::default();
        let given = serde_json::to_value(&settings).unwrap();
        assert!(no_extra_fields(&given, &settings).is_ok());
    }
}
