//! `POST /v2/threads/{peer_id}/attachments`: a file as a message, in one step.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use netrox_proto::{
    ids::{ClientRef, UserId},
    v1::{UploadFinish, UploadStart, upload_attachment_request::Part as UploadPart},
};

use super::{
    answer, send,
    user::{Actor, PathText, peer},
};
use crate::{
    edge::Edge,
    rest::{
        attachment::{
            FORM_BYTES, NotStored, Parts, at_the_rate_of, carry, file_name, hand_over, min_size,
            refuse_repetition, send_content,
        },
        multipart::{Form, Part},
    },
    wire::v2::{
        body, field,
        problem::{Problem, ProblemCode},
        query::{self, Query},
    },
};

/// Of the text of an id, and then some: what is longer is none.
const ID_BYTES: usize = 64;

pub(super) async fn upload(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let receiver_id = peer(path, user_id).ok_or_else(Problem::invalid_receiver)?;
    let query = Query::parse(request.uri().query());
    let client_ref = query.get("client_ref")?.and_then(|text| text.parse().ok());
    let client_ref: ClientRef =
        client_ref.ok_or_else(|| Problem::invalid_field("client_ref", "must be a UUID"))?;
    let dispatch = query.choice("dispatch", &[("true", true), ("false", false)])?.unwrap_or(true);
    let boundary = Form::boundary(request.headers())?;
    let shared = &edge.shared;
    let _place = shared.limiter.upload(user_id).await?;
    // Nobody uploads a file again to hear that it is there.
    if let Some(stored) = send::find(&edge, user_id, client_ref).await? {
        return answer::message(StatusCode::OK, Some(&stored), user_id);
    }

    shared.limiter.send_in_turn(user_id).await?;
    let max_bytes = shared.config.limits.max_attachment_bytes.saturating_add(FORM_BYTES);
    let (head, body) = request.into_parts();
    let min_size = min_size(&head.headers);
    let body = at_the_rate_of(edge.clone(), user_id, body);
    let form = Form::new(boundary, &head.headers, body, max_bytes)?;
    let upload =
        Upload { edge: edge.clone(), user_id, receiver_id, client_ref, dispatch, min_size };
    let answer = carry(&edge, |parts| async move { upload.send(form, &parts).await }).await;
    let answer = answer.map_err(|error| match error {
        NotStored::Form(problem) => problem,
        NotStored::Core(status) => edge.read_refused(user_id, &status),
        NotStored::Unknown(status) => Problem::outcome_unknown(status.message()),
    })?;
    let status = if answer.repeated { StatusCode::OK } else { StatusCode::CREATED };
    answer::message(status, answer.message.as_ref(), user_id)
}

/// Turns a form into the parts of an upload.
struct Upload {
    edge: Edge,
    user_id: UserId,
    receiver_id: UserId,
    client_ref: ClientRef,
    dispatch: bool,
    min_size: i64,
}

/// What came of the form so far.
#[derive(Default)]
struct Fields {
    body: Option<String>,
    reply_to: Option<i64>,
    /// Known where it is null, too.
    meta: Option<Option<String>>,
    has_file: bool,
}

impl Upload {
    /// Reads the form to its end. `finish` goes out only when every field was found good.
    async fn send(&self, mut form: Form, parts: &Parts) -> Result<(), Problem> {
        let mut fields = Fields::default();
        while let Some(part) = form.next().await? {
            match part.form_data.name.as_str() {
                "message_body" => {
                    refuse_repetition("message_body", fields.body.is_some())?;
                    fields.body = Some(self.body(part).await?);
                }
                "reply_to" => {
                    refuse_repetition("reply_to", fields.reply_to.is_some())?;
                    fields.reply_to = Some(reply_to(part).await?);
                }
                "meta" => {
                    refuse_repetition("meta", fields.meta.is_some())?;
                    fields.meta = Some(self.meta(part).await?);
                }
                "attached_file" => {
                    refuse_repetition("attached_file", fields.has_file)?;
                    fields.has_file = true;
                    self.file(part, &mut fields, parts).await?;
                }
                _ => part.skip().await?,
            }
        }
        if !fields.has_file {
            return Err(Problem::invalid_field("attached_file", "is missing"));
        }
        let finish = UploadFinish {
            receiver_id: self.receiver_id.to_string(),
            body: fields.body.unwrap_or_default(),
            // The reference tells a repetition.
            form: None,
            reply_to_id: fields.reply_to,
            meta_json: fields.meta.flatten(),
        };
        Ok(hand_over(parts, UploadPart::Finish(finish)).await?)
    }

    async fn file(
        &self,
        mut part: Part,
        fields: &mut Fields,
        parts: &Parts,
    ) -> Result<(), Problem> {
        let start = UploadStart {
            sender_id: self.user_id.to_string(),
            file_name: file_name(&mut part)?,
            client_ref: Some(self.client_ref.to_string()),
            from_client: true,
            reply_to_id: fields.reply_to,
            meta_json: fields.meta.clone().flatten(),
            dispatch: self.dispatch,
            min_size: self.min_size,
        };
        hand_over(parts, UploadPart::Start(start)).await?;
        Ok(send_content(&self.edge, self.user_id, part, parts).await?)
    }

    async fn body(&self, part: Part) -> Result<String, Problem> {
        let max_bytes = self.edge.shared.config.limits.max_body_bytes;
        let body = text("message_body", part, max_bytes).await?;
        field::check_body(&body, max_bytes)?;
        Ok(body)
    }

    async fn meta(&self, part: Part) -> Result<Option<String>, Problem> {
        let max_bytes = self.edge.shared.config.limits.max_frame_bytes;
        body::meta_text(&text("meta", part, max_bytes).await?)
    }
}

async fn reply_to(part: Part) -> Result<i64, Problem> {
    let id = query::message_id(&text("reply_to", part, ID_BYTES).await?);
    id.ok_or_else(|| Problem::invalid_field("reply_to", "must be a message id"))
}

async fn text(field: &str, part: Part, max_bytes: usize) -> Result<String, Problem> {
    let bytes = part.bytes(max_bytes).await?.ok_or_else(|| {
        let detail = format!("{field}: must not be longer than {max_bytes} bytes");
        Problem::new(ProblemCode::MessageTooLarge, detail)
    })?;
    String::from_utf8(bytes).map_err(|_| Problem::invalid_field(field, "must be UTF-8"))
}
