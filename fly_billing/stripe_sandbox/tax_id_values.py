"""A customer's tax ids: their types, their values, and adding one. Not here: the endpoints (`tax_ids`).

The form of a value is checked for EU VAT numbers only.
"""

import re

from fly_billing.stripe_sandbox import params
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.params import required, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

TYPES = (
    "ad_nrt ae_trn al_tin am_tin ao_tin ar_cuit au_abn au_arn aw_tin az_tin ba_tin bb_tin bd_bin bf_ifu bg_uic bh_vat "
    "bj_ifu bo_tin br_cnpj br_cpf bs_tin by_tin ca_bn ca_gst_hst ca_pst_bc ca_pst_mb ca_pst_sk ca_qst cd_nif ch_uid "
    "ch_vat cl_tin cm_niu cn_tin co_nit cr_tin cv_nif de_stn do_rcn ec_ruc eg_tin es_cif et_tin eu_oss_vat eu_vat "
    "fo_vat gb_vat ge_vat gi_tin gn_nif hk_br hr_oib hu_tin id_npwp il_vat in_gst is_vat it_cf jp_cn jp_rn jp_trn "
    "ke_pin kg_tin kh_tin kr_brn kz_bin la_tin li_uid li_vat lk_vat ma_vat md_vat me_pib mk_vat mr_nif mx_rfc my_frp "
    "my_itn my_sst ng_tin no_vat no_voec np_pan nz_gst om_vat pe_ruc ph_tin pl_nip py_ruc ro_tin rs_pib ru_inn ru_kpp "
    "sa_vat sg_gst sg_uen si_tin sn_ninea sr_fin sv_nit th_vat tj_tin tr_tin tw_vat tz_vat ua_vat ug_tin us_ein uy_ruc "
    "uz_tin uz_vat ve_rif vn_tin za_vat zm_tin zw_tin"
).split()
GIVEN: params.Spec = {"type": required(params.choice(*TYPES)), "value": required(string(unsettable=False))}
EU_VAT = re.compile(r"[A-Z]{2}[A-Z0-9+*]{2,12}")
OF_CUSTOMER = "select body from objects where customer = ? and object = 'tax_id' order by seq"


def add(store: Store, customer: str, given: Json) -> Json:
    """Add a tax id. Raises StripeError `tax_id_invalid` for a value that its type does not have."""
    kind, value = given["type"], given["value"]
    if kind == "eu_vat" and not EU_VAT.fullmatch(value.replace(" ", "")):
        raise StripeError(f"Invalid value for {kind}.", code="tax_id_invalid", param="value")
    body = {
        "id": new_id("txi", 24),
        "object": "tax_id",
        "country": value[:2] if kind == "eu_vat" else kind[:2].upper(),
        "created": store.now(),
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "owner": {"type": "customer", "customer": customer},
        "type": kind,
        "value": value,
        "verification": None,
    }
    store.insert(body)
    emit(store, "customer.tax_id.created", body)
    return body


def of_customer(store: Store, customer: str) -> list[Json]:
    """Return the customer's tax ids as an invoice shows them."""
    found = store.bodies(OF_CUSTOMER, (customer,))
    return [{"type": each["type"], "value": each["value"]} for each in found]
