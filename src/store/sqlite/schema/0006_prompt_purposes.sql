-- What a prompt is for: 'reference' prompts are learned from and found as neighbours, 'evaluation' prompts are only
-- measured on.
ALTER TABLE prompts ADD COLUMN purpose TEXT NOT NULL DEFAULT 'reference';
ALTER TABLE version_prompts ADD COLUMN purpose TEXT NOT NULL DEFAULT 'reference';
