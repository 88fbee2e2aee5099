"""Other ways in than C-STORE: STOW-RS and an upload from a browser."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, File, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from xiqa.dicom.net.instance import Instance, split_part10
from xiqa.dicom.net.scp import STATUS
from xiqa.dicom.net.web import parts_of
from xiqa.errors import NetworkError
from xiqa.service.node import Node

__all__ = ["routes"]

_JSON = "application/dicom+json"


def routes(node: Node) -> APIRouter:
    """Both ways."""
    router = APIRouter(tags=["intake"])

    @router.post(
        "/dicom-web/studies",
        response_class=JSONResponse,
        responses={
            202: {"description": "Some were taken"},
            400: {"description": "No multipart body"},
            409: {"description": "None was taken"},
            503: {"description": "No room"},
        },
    )
    async def stow(request: Request) -> JSONResponse:
        """STOW-RS: ``multipart/related`` with parts of ``application/dicom``."""
        body = await _body(request)
        try:
            parts = parts_of(body, request.headers.get("content-type", ""))
        except NetworkError as error:
            raise HTTPException(400, str(error)) from error
        results = [await run_in_threadpool(_take, node, part, "STOW", _address(request)) for part in parts]
        return JSONResponse(_stow_body(results), _stow_code(results), media_type=_JSON)

    @router.post("/api/upload")
    async def upload(request: Request, files: list[UploadFile] = File()) -> list[dict[str, Any]]:  # noqa: B008
        """DICOM files from a form; what became of each."""
        rows = []
        for file in files:
            content = await file.read()
            instance, code = await run_in_threadpool(_take, node, content, "UPLOAD", _address(request))
            rows.append({"uid": "" if instance is None else instance.uid, "taken": not code, "code": code})
        return rows

    return router


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


async def _body(request: Request) -> bytes:
    """The body, whose length the guard has seen."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, "the request ended early") from error


def _take(node: Node, content: bytes, source: str, address: str) -> tuple[Instance | None, str]:
    """Keep one file: what it is, and why it was not taken."""
    instance = None
    try:
        instance = split_part10(content)
        node.take_in(content, source, address)
    except NetworkError as error:
        node.not_taken(error.code, address)
        return instance, error.code
    return instance, ""


def _stow_code(results: list[tuple[Instance | None, str]]) -> int:
    """PS3.18 table 10.5.3-1."""
    codes = {code for _, code in results}
    if not codes or codes == {""}:
        return 200 if codes else 400
    if "" in codes:
        return 202
    return 503 if codes <= {"full", "disk"} else 409


def _stow_body(results: list[tuple[Instance | None, str]]) -> dict[str, Any]:
    """A Store Instances Response Module."""
    taken = [_reference(instance) for instance, code in results if not code]
    failed = [
        _reference(instance) | {"00081197": {"vr": "US", "Value": [STATUS[code]]}}
        for instance, code in results
        if code
    ]
    answer = {"00081199": {"vr": "SQ", "Value": taken}} if taken else {}
    return answer | ({"00081198": {"vr": "SQ", "Value": failed}} if failed else {})


def _reference(instance: Instance | None) -> dict[str, Any]:
    if instance is None:
        return {}
    return {
        "00081150": {"vr": "UI", "Value": [instance.sop_class]},
        "00081155": {"vr": "UI", "Value": [instance.uid]},
    }
