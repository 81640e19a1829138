export { Chooser, type Ask, type Choice } from './chooser.ts'
export { explain, type HostVerdict } from './explain.ts'
export {
  groupOf,
  rejection,
  refusals,
  type HostFacts,
  type Overcommit,
  type PlacementAsked,
  type PlacementChoice,
  type PlacementHost,
  type RejectedHost,
} from './placement.ts'
export { notPlacedText, outlineOfReasons, type RejectionSummary } from './summary.ts'
export { askOf, factsOf, takenBy, WorldLedger } from './world-ledger.ts'
