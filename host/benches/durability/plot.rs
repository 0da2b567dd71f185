//! A plot of what was measured.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    PathElement, RGBColor, SVGBackend, WHITE,
};

use super::pending::Row;

const BLUE: RGBColor = RGBColor(31, 119, 180);
const ORANGE: RGBColor = RGBColor(217, 95, 2);

/// One line: its name, its colour and its points.
type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

/// Draws lateness and memory over the number of operations that wait, as the file
/// `target/NAME.svg`.
pub(crate) fn draw(name: &str, rows: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/{name}.svg"));
    if let Err(error) = try_draw(rows, &path) {
        println!("the plot could not be drawn: {error}");
        return;
    }
    println!("the plot is {}", path.display());
}

fn try_draw(rows: &[Row], path: &Path) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, (900, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(450);
    #[expect(clippy::cast_precision_loss, reason = "a million is little")]
    let points = |value: fn(&Row) -> f64| -> Vec<(f64, f64)> {
        rows.iter()
            .map(|row| (row.count as f64, value(row)))
            .collect()
    };
    panel(
        &left,
        "late by, ms (1,000 due a second)",
        &[
            ("p50", BLUE, points(|row| row.late[0])),
            ("p99", ORANGE, points(|row| row.late[1])),
        ],
    )?;
    panel(
        &right,
        "resident memory, MiB",
        &[("resident", BLUE, points(|row| row.resident))],
    )?;
    area.present()?;
    Ok(())
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    caption: &str,
    lines: &[Line],
) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let most = points().map(|(_, y)| *y).fold(1.0, f64::max);
    let first = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let last = points().map(|(x, _)| *x).fold(10.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d((first..last * 1.1).log_scale(), 0.0..most * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("operations that wait")
        .x_label_formatter(&|count| format!("{count:.0}"))
        .draw()?;
    for (name, colour, points) in lines {
        chart
            .draw_series(
                LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4),
            )?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], *colour));
    }
    chart.configure_series_labels().border_style(BLUE).draw()?;
    Ok(())
}
