//! The references on a plane, for the report's picture.

/// Points of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// By name.
    pub routes: Vec<String>,
    pub points: Vec<Point>,
    /// References in all; a large set is shown by a sample.
    pub references: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// In no unit.
    pub place: [f32; 2],
    /// Position in [`Map::routes`].
    pub route: usize,
    pub id: String,
    pub text: String,
    /// The route that the other references vote for, where it is not its own.
    pub contradicted: Option<Contradiction>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Contradiction {
    pub route: String,
    /// Confidence in that route, in [0, 1].
    pub confidence: f32,
}
