//! What somebody may see of the kinds of resources (`viewableBy`): the rest is as if nobody might. It is
//! in no answer, nothing is sought or sorted by it, and it can be set and removed without being seen.
use crate::{
    app::Veil,
    model::{
        pointer::Pointer,
        scim::{Attribute, Bound, Part, Resources, Returned, Source},
    },
};

/// The kinds of resources as somebody behind this veil meets them.
pub(super) fn behind(resources: &Resources, veil: &Veil) -> Resources {
    let mut seen = resources.clone();
    for kind in &mut seen.types {
        let container = kind.container.to_string();
        let hides = |place: &Pointer| veil.hides(&container, place);
        let schemas = kind.schemas.iter_mut();
        schemas
            .flat_map(|schema| &mut schema.attributes)
            .for_each(|bound| hide(bound, &hides));
    }
    hide_groups(&mut seen);
    seen
}

fn hide(bound: &mut Bound, hides: &dyn Fn(&Pointer) -> bool) {
    let attribute = &mut bound.attribute;
    let is_hidden = match &mut bound.source {
        Source::Whole(place) | Source::Values(place) | Source::References(place, _) => hides(place),
        Source::Parts(parts) => hide_parts(attribute, parts.iter_mut().collect(), hides),
        Source::Slots(slots) => {
            let parts = slots.iter_mut().flat_map(|slot| &mut slot.parts);
            hide_parts(attribute, parts.collect(), hides)
        }
        Source::Groups => false,
    };
    if is_hidden {
        attribute.returned = Returned::Never;
    }
}

/// Marks the parts that are hidden, and tells whether all are.
fn hide_parts(
    attribute: &mut Attribute,
    mut parts: Vec<&mut Part>,
    hides: &dyn Fn(&Pointer) -> bool,
) -> bool {
    for part in &mut parts {
        part.hidden = hides(&part.place);
    }
    for sub in &mut attribute.sub {
        let mut named = parts.iter().filter(|part| sub.is(&part.name)).peekable();
        let is_kept = named.peek().is_some();
        if is_kept && named.all(|part| part.hidden) {
            sub.returned = Returned::Never;
        }
    }
    !parts.is_empty() && parts.iter().all(|part| part.hidden)
}

/// Whoever may see no members may not see from the other side who is one.
fn hide_groups(resources: &mut Resources) {
    if resources
        .groups()
        .any(|(_, members)| members.attribute.is_readable())
    {
        return;
    }
    let kinds = resources.types.iter_mut();
    let attributes = kinds
        .flat_map(|kind| &mut kind.schemas)
        .flat_map(|it| &mut it.attributes);
    attributes
        .filter(|bound| bound.source == Source::Groups)
        .for_each(|bound| bound.attribute.returned = Returned::Never);
}
