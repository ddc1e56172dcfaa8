/** Holds hls.js back from segments that do not exist yet, without a request, a timeout or an error. */

const SEGMENT = /\/([^/]+)(?:_|\/seg_)(\d+)\.\w+(?:[?#]|$)/; // <rendition>_<index>.ts?g=<generation> or <rendition>/seg_<index>.m4s

export function segmentOf(url) {
  const match = SEGMENT.exec(url);
  return match && { name: match[1], index: Number(match[2]) };
}

/** The loads that wait. `isReady(name, index)` decides; `onHeld(load)` hears of each new one. */
export class Gate {
  constructor(isReady, onHeld) {
    this.isReady = isReady;
    this.onHeld = onHeld;
    this.held = new Set();
  }

  /** True when the load may go on now; otherwise it is kept and `go` is called later. */
  admits(load) {
    if (!load.segment || this.isReady(load.segment.name, load.segment.index)) return true;
    this.held.add(load);
    this.onHeld(load);
    return false;
  }

  drop(load) {
    this.held.delete(load);
  }

  /** Lets through what has become ready. */
  release() {
    for (const load of [...this.held]) {
      if (!this.isReady(load.segment.name, load.segment.index)) continue;
      this.held.delete(load);
      load.go();
    }
  }
}

/**
 * A loader class for `config.fLoader`. hls.js times and measures a request inside its loader, so a load that is
 * held here before `super.load` costs no retry and leaves the bandwidth estimate alone.
 */
export function gatedLoader(BaseLoader, gate) {
  return class GatedLoader extends BaseLoader {
    load(context, config, callbacks) {
      const load = { segment: segmentOf(context.url), frag: context.frag, abort: () => callbacks.onAbort?.(this.stats, context, null) };
      load.go = () => {
        this.waiting = null;
        super.load(context, config, callbacks);
      };
      this.waiting = load;
      if (gate.admits(load)) load.go();
    }

    abort() {
      const load = this.leave();
      if (!load) return super.abort();
      this.stats.aborted = true;
      load.abort();
    }

    destroy() {
      this.leave();
      super.destroy();
    }

    leave() {
      const load = this.waiting;
      this.waiting = null;
      if (load) gate.drop(load);
      return load;
    }
  };
}

/** An ABR controller whose every answer passes through `choose(wish)`, so that only rungs that exist are picked. */
export function readyAbr(BaseAbr, choose, isManual) {
  return class ReadyAbr extends BaseAbr {
    constructor(hls) {
      super(hls);
      const check = this._abandonRulesCheck; // gives up a slow load for a lower rung: not against a person's choice
      if (check) this._abandonRulesCheck = (level) => isManual() || check(level);
    }

    get nextAutoLevel() {
      const wish = super.nextAutoLevel;
      this.offered = wish < 0 ? wish : choose(wish);
      return this.offered;
    }

    set nextAutoLevel(level) {
      // hls.js hands our own answer back each tick; taking it as a forced level would freeze the choice.
      if (level !== this.offered) super.nextAutoLevel = level;
    }
  };
}
