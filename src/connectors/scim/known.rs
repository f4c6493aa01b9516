//! What is known of a service: what it says, in the light of what the administrator says.
use std::collections::HashMap;

use super::{
    dialect::{Etags, Filtering, Paging, Way},
    discovery::Announced,
    settings::Settings,
    shape::Shape,
    wire::Site,
};

/// What is known of a service.
#[derive(Debug, Default)]
pub struct Known {
    /// What it announces; none where it does not tell.
    pub announced: Option<Announced>,
    /// How the resources of each object class look.
    pub shapes: HashMap<String, Shape>,
    /// The names of its resource types; empty where it does not tell.
    pub types: Vec<String>,
}

impl Known {
    fn says(&self, read: impl Fn(&Announced) -> bool) -> bool {
        self.announced.as_ref().is_some_and(read)
    }

    /// Whether it keeps versions, as far as that is known.
    pub fn has_versions(&self, settings: &Settings) -> bool {
        settings.deviations.etags != Etags::Never
            && self.announced.as_ref().is_none_or(|it| it.etag.supported)
    }

    /// The version of a resource, out of the `ETag` of the answer or `meta.version`.
    pub fn version(
        &self,
        settings: &Settings,
        header: Option<String>,
        meta: Option<String>,
    ) -> Option<String> {
        if !self.has_versions(settings) {
            return None;
        }
        match &self.announced {
            // A service that announces nothing may still send what HTTP knows.
            None => header,
            Some(_) => header.or(meta),
        }
    }

    /// How a resource is changed: by PATCH or by PUT.
    pub fn way(&self, site: &Site<'_>) -> Way {
        let said = match site.shape.is_group() {
            true => site.deviations.group_update,
            false => site.deviations.update,
        };
        match said {
            Way::Announced if self.says(|it| it.patch.supported) => Way::Patch,
            Way::Announced => Way::Put,
            said => said,
        }
    }

    /// Which filters it understands.
    pub fn filtering(&self, settings: &Settings) -> Filtering {
        match settings.deviations.filter {
            // The one filter that every service knows is that for a key.
            Filtering::Announced if self.announced.is_none() => Filtering::Equal,
            Filtering::Announced if !self.says(|it| it.filter.supported) => Filtering::None,
            said => said,
        }
    }

    /// How it pages.
    pub fn paging(&self, settings: &Settings) -> Paging {
        match settings.deviations.paging {
            Paging::Announced if self.says(|it| it.pagination.cursor) => Paging::Cursor,
            Paging::Announced => Paging::Index,
            said => said,
        }
    }

    /// How many resources to ask for at once.
    pub fn page_size(&self, settings: &Settings) -> usize {
        let announced = self.announced.as_ref();
        let most = announced.and_then(|it| it.pagination.max_page_size);
        let asked = settings.deviations.page_size;
        most.map_or(asked, |most| asked.min(most.max(1)))
    }
}
