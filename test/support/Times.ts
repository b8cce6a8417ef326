const level = Math.min(Number(process.env["APIUM_FULL"] ?? 0), 2)

/**
 * How often, or how many, a test does what may go wrong: often enough to see a bug that is always there; with `APIUM_FULL=1`,
 * as the whole check has it (`.ci/run`), as often as a minute allows; with `APIUM_FULL=2`, for who has half an hour, as often
 * as it takes to see one that is rarely there.
 */
export const times = (usual: number, full: number, all = full): number => [usual, full, all][level]!
