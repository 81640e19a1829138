export {
  choose,
  groupOf,
  rejection,
  type Overcommit,
  type PlacementAsked,
  type PlacementChoice,
  type PlacementHost,
  type RejectedHost,
} from './placement.ts'
