use std::time::Duration;

use formwork_guest::{DeleteEvent, Page, ProgressEvent};

fn main() {
    // A success has no callback.
    let _ = ProgressEvent::<u8>::success(1).after(Duration::ZERO);
    // A deleted resource has no model.
    let _ = DeleteEvent::<u8>::deleted().model(1);
    let _: DeleteEvent<u8> = ProgressEvent::<u8>::success(1);
    // A list is never in progress.
    let _: Page<u8> = ProgressEvent::<u8>::in_progress(1).into();
}
