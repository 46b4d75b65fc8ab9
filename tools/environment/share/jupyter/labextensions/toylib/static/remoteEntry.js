// A JupyterLab extension without a build: plotly figures, drawn as the site draws them. It extends plotly's own renderer,
// which package.json disables, and which goes on to draw what moves in another way than ours. plot.js and sliders.js are
// those of the explorers and of the site.
"use strict";

{
  const MIME = "application/vnd.plotly.v1+json";
  const here = document.currentScript.src;

  // What classes are in scripts that are plain, so that a page from disk can load them.
  const scripts = async (...names) => {
    const texts = await Promise.all(names.map(async (name) => (await fetch(new URL(name, here))).text()));
    const address = URL.createObjectURL(new Blob([...texts, "\nexport { Live };"], { type: "text/javascript" }));
    return import(address).finally(() => URL.revokeObjectURL(address));
  };

  // Plain figures, and those of toylib's `frames`: one slider, which each frame is a stop of.
  const isOurs = ({ layout, frames }) => {
    if (!frames?.length) return !layout?.sliders && !layout?.updatemenus;
    const { sliders, height, margin } = layout ?? {};
    return sliders?.length === 1 && sliders[0].steps?.length === frames.length && height && margin && frames.every((frame) => frame.traces);
  };

  const hasWebGL = !!document.createElement("canvas").getContext("webgl");
  const isPossible = ({ data }) => hasWebGL || !data.some(({ type }) => /3d|gl|surface|volume|cone|tube/.test(type));

  const renderer = ({ RenderedPlotly }, { Live }) => {
    const plotly = async () => {
      // Explorers bring plotly.js along; the renderer's own comes with its first figure.
      const empty = { data: { [MIME]: { data: [], layout: {} } }, setData() {} };
      if (!window.Plotly) await new RenderedPlotly({ mimeType: MIME }).createGraph(empty);
    };

    // The stored picture stays until a figure is drawn, when it comes near.
    const near = new IntersectionObserver((entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) target.near();
    }, { rootMargin: "100% 0px", scrollMargin: "100% 0px" });

    return class Figure extends RenderedPlotly {
      async renderModel(model) {
        const text = JSON.stringify(model.data[MIME]);
        if (text === this.text) return; // its picture has come
        this.still();
        this.text = text;
        if (!isOurs(model.data[MIME])) return super.renderModel(model);
        this._model = model; // drawn by plotly's renderer when a mouse comes over the picture
        if (model.data["image/png"]) {
          this.updateImage(model.data["image/png"]);
          this.node.near = () => this.createGraph(model);
          near.observe(this.node);
        } else if (this.isAttached) await this.createGraph(model);
        else this.isDue = true;
      }

      onAfterAttach() {
        if (this.isDue) this.createGraph(this._model);
        this.isDue = false;
      }

      async createGraph(model) {
        near.unobserve(this.node);
        if (!isOurs(model.data[MIME])) return super.createGraph(model);
        if (this.view || (model.data["image/png"] && !isPossible(model.data[MIME]))) return;
        const figure = structuredClone(model.data[MIME]);
        const [view, sideways, box] = ["jp-toylib-figure", "sideways", "plot"].map((name) =>
          Object.assign(document.createElement("div"), { className: name }));
        this.view = view;
        try {
          await plotly();
          const { layout, frames } = figure;
          layout.height ??= 450;
          const room = frames?.length ? layout.margin.b - (layout.template?.layout?.margin?.b ?? 80) : 0;
          box.style.height = `${layout.height - room}px`;
          sideways.append(box);
          view.append(sideways);
          this.node.append(view);
          this.live = new Live(box, figure);
          for (const taker of view.querySelectorAll("input, button")) taker.dataset.lmSuppressShortcuts = "true"; // of keys
          await this.live.draw();
          if (!box._fullLayout && box.clientWidth) throw new Error("plotly could not draw a figure");
          box.on?.("plotly_webglcontextlost", () => this.still()); // until a mouse comes over the picture
        } catch (error) {
          console.error(error);
          this.still(); // the picture
          return;
        }
        if (box._fullLayout) this.hideImage();
        if (box._fullLayout && !model.data["image/png"]) {
          // Saved with the figure, for readers elsewhere, as plotly's own renderer does.
          const size = { width: box.clientWidth, height: figure.layout.height };
          const [, png] = (await Plotly.toImage(structuredClone(this.live.shown), { format: "png", ...size })).split(",");
          model.setData({ data: { ...model.data, "image/png": png } });
        }
      }

      still() {
        this.live?.plot?.remove();
        this.view?.remove();
        this.live = this.view = null;
        if (this._img_el.src) this.showImage();
      }

      onUpdateRequest(message) {
        if (!this.live) super.onUpdateRequest(message); // ours follow their box
      }

      dispose() {
        near.unobserve(this.node);
        this.still();
        super.dispose();
      }
    };
  };

  (window._JUPYTERLAB ??= {}).toylib = {
    init() {
      const href = new URL("sliders.css", here);
      document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }));
    },
    async get() {
      const [plotly, drawing] = await Promise.all([
        window._JUPYTERLAB["jupyterlab-plotly"].get("./mimeExtension"),
        scripts("colours.js", "plot.js", "sliders.js"),
      ]);
      const Figure = renderer(plotly(), drawing);
      const rendererFactory = { safe: true, mimeTypes: [MIME], createRenderer: (options) => new Figure(options) };
      return () => ({ __esModule: true, default: plotly().default.map((plugin) => ({ ...plugin, id: "toylib:figures", rendererFactory })) });
    },
  };
}
