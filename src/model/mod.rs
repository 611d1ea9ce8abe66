#[derive(Debug, Clone, Copy)]
pub enum Pooling {
    Mean,
    Cls,
}
