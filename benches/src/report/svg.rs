//! A line chart as SVG: one file that any browser shows, without a library.

use std::fmt::Write;

use crate::method::bootstrap::Estimate;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 70.0;
/// Okabe and Ito's colours, which people who see fewer can tell apart.
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

/// What was measured along one axis.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Where it was measured.
    pub caption: String,
    /// What varies from place to place on the horizontal axis.
    pub x: &'static str,
    /// What was measured, with its unit; drawn on a logarithmic scale.
    pub y: &'static str,
    /// The places on the horizontal axis, evenly spread.
    pub places: Vec<String>,
    /// One line each.
    pub series: Vec<Series>,
}

/// One line of a chart: a median with its interval for each place, where there is one.
#[derive(Clone, Debug)]
pub struct Series {
    /// Who was measured.
    pub name: String,
    /// As many as the chart has places.
    pub points: Vec<Option<Estimate>>,
}

impl Chart {
    /// The chart as an SVG document.
    pub fn render(&self) -> String {
        let scale = Scale::of(self);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        text(
            &mut out,
            (LEFT, 26.0),
            "start",
            "font-size=\"17\"",
            &self.title,
        );
        text(
            &mut out,
            (LEFT, 45.0),
            "start",
            "fill=\"#555\" font-size=\"11\"",
            &self.caption,
        );
        text(&mut out, (middle, HEIGHT - 18.0), "middle", "", self.x);
        let turned = format!("transform=\"rotate(-90 20 {})\"", HEIGHT / 2.0);
        text(&mut out, (20.0, HEIGHT / 2.0), "middle", &turned, self.y);
        self.grid(&mut out, &scale);
        for (at, series) in self.series.iter().enumerate() {
            self.line(&mut out, &scale, at, series);
        }
        out.push_str("</svg>\n");
        out
    }

    /// The same figures as comma-separated values.
    pub fn table(&self) -> String {
        let mut out = format!("{},series,median,lo,hi\n", self.x.replace(',', " "));
        for series in &self.series {
            for (place, point) in self.places.iter().zip(&series.points) {
                if let Some(Estimate { median, lo, hi }) = point {
                    let _ = writeln!(out, "{place},{},{median},{lo},{hi}", series.name);
                }
            }
        }
        out
    }

    fn grid(&self, out: &mut String, scale: &Scale) {
        for exponent in scale.low..=scale.high {
            let y = scale.y(10f64.powi(exponent));
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
                WIDTH - RIGHT
            );
            let label = short(10f64.powi(exponent));
            text(out, (LEFT - 8.0, y + 4.0), "end", "", &label);
        }
        for (at, place) in self.places.iter().enumerate() {
            let spot = (scale.x(at), HEIGHT - BOTTOM + 22.0);
            text(out, spot, "middle", "", place);
        }
    }

    fn line(&self, out: &mut String, scale: &Scale, number: usize, series: &Series) {
        let colour = COLOURS[number % COLOURS.len()];
        let mut path = String::new();
        let mut last = None;
        for (at, point) in series.points.iter().enumerate() {
            let Some(point) = point.filter(|point| point.median > 0.0) else {
                continue;
            };
            let (x, y) = (scale.x(at), scale.y(point.median));
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{x:.1} {y:.1} ");
            let (lo, hi) = (scale.y(point.lo.max(f64::MIN_POSITIVE)), scale.y(point.hi));
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: {}</title></circle>\n\
                 <line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{lo:.1}\" y2=\"{hi:.1}\" stroke=\"{colour}\"/>",
                escape(&series.name),
                short(point.median)
            );
            last = Some(y);
        }
        let _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.trim_end()
        );
        if last.is_some() {
            let y = TOP + 20.0 * number as f64 + 8.0;
            let x = WIDTH - RIGHT + 14.0;
            let _ = writeln!(
                out,
                "<line x1=\"{x}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
                x + 18.0
            );
            text(out, (x + 24.0, y + 4.0), "start", "", &series.name);
        }
    }
}

/// Whole decades from the least to the greatest figure, and evenly spread places.
struct Scale {
    low: i32,
    high: i32,
    places: usize,
}

impl Scale {
    fn of(chart: &Chart) -> Scale {
        let points = chart
            .series
            .iter()
            .flat_map(|series| &series.points)
            .flatten();
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for point in points.filter(|point| point.median > 0.0) {
            low = low.min(point.median);
            high = high.max(point.median);
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        let low = low.log10().floor() as i32;
        Scale {
            low,
            high: (high.log10().ceil() as i32).max(low + 1),
            places: chart.places.len(),
        }
    }

    fn x(&self, place: usize) -> f64 {
        let width = WIDTH - LEFT - RIGHT;
        LEFT + width * (place as f64 + 0.5) / self.places.max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let part = ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, more: &str, what: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{}</text>",
        escape(what)
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A number with its thousands as k, M, G.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let digits = match value {
        value if value >= 100.0 => 0,
        value if value >= 1.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let point = |median| {
            Some(Estimate {
                median,
                lo: median * 0.9,
                hi: median * 1.1,
            })
        };
        Chart {
            title: "a < b".to_owned(),
            caption: String::new(),
            x: "bytes",
            y: "us",
            places: vec!["0".to_owned(), "64".to_owned()],
            series: vec![Series {
                name: "ours".to_owned(),
                points: vec![point(2.0), point(40.0)],
            }],
        }
    }

    #[test]
    fn a_chart_has_a_line_through_its_points_and_no_bare_signs() {
        let text = chart().render();
        assert!(text.contains("<path d=\"M") && text.contains(" L"));
        assert!(text.contains("a &lt; b") && text.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn greater_figures_stand_higher() {
        let scale = Scale::of(&chart());
        assert_eq!((scale.low, scale.high), (0, 2));
        assert!(scale.y(40.0) < scale.y(2.0));
    }

    #[test]
    fn a_place_without_a_figure_is_left_out() {
        let mut chart = chart();
        chart.series[0].points[0] = None;
        assert!(!chart.table().contains("0,ours,2"));
        assert_eq!(chart.render().matches("<circle").count(), 1);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.25, 1.0, 40.0, 1500.0, 2e6].map(short),
            ["0.25", "1", "40", "1.5k", "2M"]
        );
    }
}
