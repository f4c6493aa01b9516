//! The people of the demo: all invented.
use serde_json::json;

use crate::model::Object;

/// Name, title, department, yearly salary.
type Person = (&'static str, &'static str, &'static str, i64);

#[rustfmt::skip]
const PEOPLE: [Person; 36] = [
    ("Ada Quill", "Glass cutter", "Workshop", 52_000),
    ("Bruno Tamm", "Wick maker", "Workshop", 47_500),
    ("Clio Ferrant", "Head of design", "Design", 71_000),
    ("Dario Venn", "Draughtsman", "Design", 49_800),
    ("Edda Marsh", "Accountant", "Office", 58_200),
    ("Falk Osterby", "Buyer", "Office", 51_400),
    ("Greta Illmen", "Shopkeeper", "Shop", 43_900),
    ("Hanno Prickett", "Shop assistant", "Shop", 36_700),
    ("Ines Calder", "Solderer", "Workshop", 46_100),
    ("Joris Wade", "Solderer", "Workshop", 45_300),
    ("Kaya Brandt", "Pattern drawer", "Design", 50_600),
    ("Lorin Ash", "Courier", "Shop", 34_800),
    ("Mira Dunmore", "Foreman", "Workshop", 63_500),
    ("Nils Arkwright", "Apprentice", "Workshop", 24_000),
    ("Olive Trent", "Apprentice", "Workshop", 24_000),
    ("Piet Holloway", "Night watch", "Office", 39_900),
    ("Quinn Abbott", "Bookkeeper", "Office", 48_700),
    ("Rosa Klint", "Enameller", "Workshop", 47_200),
    ("Sven Tarrow", "Enameller", "Workshop", 46_600),
    ("Tilda Roe", "Shop assistant", "Shop", 36_700),
    ("Ulla Pembroke", "Window dresser", "Shop", 38_400),
    ("Viktor Lamb", "Brass turner", "Workshop", 49_100),
    ("Wanda Isker", "Brass turner", "Workshop", 49_100),
    ("Xaver Doyle", "Catalogue editor", "Design", 52_300),
    ("Yara Finch", "Photographer", "Design", 51_900),
    ("Zeno Hartley", "Postroom", "Office", 33_600),
    ("Alma Birch", "Managing director", "Office", 96_000),
    ("Bela Corrigan", "Glass blower", "Workshop", 55_700),
    ("Cora Denholm", "Glass blower", "Workshop", 54_900),
    ("Dirk Eskil", "Fitter", "Workshop", 44_200),
    ("Elin Farrow", "Fitter", "Workshop", 44_200),
    ("Fritz Garland", "Tester", "Workshop", 45_800),
    ("Gesa Hume", "Tester", "Workshop", 45_800),
    ("Hugo Ives", "Complaints", "Shop", 37_300),
    ("Ilse Jarrow", "Recruiter", "Office", 50_100),
    ("Jonas Keel", "Cook", "Office", 37_900),
];

/// The departments that the directory knows.
pub const DEPARTMENTS: [&str; 4] = ["Workshop", "Design", "Office", "Shop"];

/// Everybody, by id, as they are hired.
pub fn all() -> Vec<(String, Object)> {
    PEOPLE
        .iter()
        .map(|(name, title, department, salary)| {
            let id = id_of(name);
            let record = json!({
                "name": name,
                "mail": format!("{id}@lantern.example"),
                "title": title,
                "department": department,
                "salary": salary,
            });
            (id, record.as_object().cloned().unwrap_or_default())
        })
        .collect()
}

/// `Ada Quill` is `ada`.
fn id_of(name: &str) -> String {
    let given = name.split(' ').next().unwrap_or(name);
    given.to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everybody_has_an_id_and_a_known_department() {
        let people = all();
        let ids: BTreeSet<&String> = people.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), people.len());
        for (id, person) in &people {
            let department = person["department"].as_str().unwrap();
            assert!(DEPARTMENTS.contains(&department), "{id}");
        }
    }
}
