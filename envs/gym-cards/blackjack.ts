export interface BlackjackInfo {
  readonly dealer: readonly string[];
  readonly player: readonly string[];
  readonly steps: number;
}
